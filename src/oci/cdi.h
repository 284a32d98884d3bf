// CDI devices of a container: which ones it asks for, where their specifications are, and how they
// change its configuration. Folders are read anew for each container that asks for any. Any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/cri.pb.h"
#include "base/json.h"
#include "oci/cdi_spec.h"

namespace crisp {

// By their full names: the field cdi_devices, then annotations "cdi.k8s.io/..." (names parted by
// commas), each once. InvalidArgument for what is no name.
absl::StatusOr<std::vector<std::string>> CdiNames(const runtime::v1::ContainerConfig& container);

// The edits for these devices, from the *.json, *.yaml and *.yml in the folders: of several files
// that have a device, the one in the last folder counts. A damaged file is passed over unless a
// device is not found. InvalidArgument: no such device, or two files of one folder have it.
absl::StatusOr<CdiEdits> ResolveCdi(const std::vector<std::string>& names,
                                    const std::vector<std::string>& folders);

// Changes config.json. mapped: the container is in a user namespace, so nodes are bound, not made.
// InvalidArgument: a device node that the host does not have.
absl::Status ApplyCdi(const CdiEdits& edits, bool mapped, Json* config);

}  // namespace crisp
