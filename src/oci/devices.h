// Device nodes of a container and who may use them: the few that every container has, what CRI asks
// for, or all of the host's for a privileged one. Reads the host's /dev. Any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "api/cri.pb.h"
#include "base/json.h"

namespace crisp {

struct ContainerDevices {
  Json nodes = Json::array();  // OCI's linux.devices, beyond the default ones
  Json rules = Json::array();  // OCI's linux.resources.devices
  // In place of the nodes, for a container in a user namespace, where no node can be made: bind
  // mounts of the host's.
  Json mounts = Json::array();
};

// InvalidArgument names the device: absent, no device, or permissions other than r, w, m.
absl::StatusOr<ContainerDevices> BuildDevices(const runtime::v1::ContainerConfig& container,
                                              const std::string& dev = "/dev");

absl::Status ValidateDevices(const runtime::v1::ContainerConfig& container);

}  // namespace crisp
