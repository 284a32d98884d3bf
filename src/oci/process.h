// OCI's process object of a container: arguments, environment, folder, user, capabilities. Any
// thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/cri.pb.h"
#include "base/json.h"
#include "oci/daemon_limits.h"
#include "oci/image_config.h"
#include "oci/user_lookup.h"

namespace crisp {

// What is executed: CRI's command replaces the image's Entrypoint and Cmd, CRI's args its Cmd.
// InvalidArgument if nothing is left.
absl::StatusOr<std::vector<std::string>> BuildArgs(const runtime::v1::ContainerConfig& container,
                                                   const ImageConfig& image);

// PATH and HOSTNAME, TERM for a terminal, the image's and CRI's, later ones in the place of earlier
// ones; HOME if nothing sets it. InvalidArgument for a name that is empty or holds "=".
absl::StatusOr<std::vector<std::string>> BuildEnvironment(
    const runtime::v1::ContainerConfig& container, const ImageConfig& image,
    const std::string& hostname, const std::string& home);

absl::StatusOr<User> BuildUser(const runtime::v1::ContainerConfig& container,
                               const ImageConfig& image);

absl::StatusOr<Json> BuildProcess(const runtime::v1::ContainerConfig& container,
                                  const ImageConfig& image, const std::string& hostname,
                                  const User& user, const DaemonLimits& limits,
                                  std::set<std::string>* bounding_capabilities);

}  // namespace crisp
