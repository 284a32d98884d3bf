// Kernel parameters of a pod: which may be set without touching the host, and crisp's defaults. Any
// thread.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "api/cri.pb.h"

namespace crisp {

// What to write below /proc/sys once the pod's namespaces exist, by name (dotted, or with slashes
// where a component holds a dot): the pod's linux.sysctls and, unless it uses the host's network,
// ping and low ports for everyone. InvalidArgument for a malformed name or value, and for a
// parameter that is the host's or whose namespace the pod shares with the host.
absl::StatusOr<std::map<std::string, std::string>> BuildPodSysctls(
    const runtime::v1::PodSandboxConfig& pod);

}  // namespace crisp
