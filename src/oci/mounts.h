// The mounts of a container: what every container has, what its pod adds, the image's volumes and
// what CRI asks for. Sources on the host are resolved and checked here; destinations are the
// launcher's to resolve inside the root. Any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/cri.pb.h"
#include "base/json.h"
#include "oci/daemon_limits.h"
#include "oci/spec.h"

namespace crisp {

struct ContainerMounts {
  Json mounts = Json::array();     // OCI's mounts, parents before children
  std::string rootfs_propagation;  // OCI's linux.rootfsPropagation; empty: the default (private)
};

// devices: mounts of device nodes, of BuildDevices. Makes missing host folders (0755), as kubelets
// expect. InvalidArgument names the mount; Unknown with the words "RROUnsupported: " where
// read-only cannot be recursive on this host.
absl::StatusOr<ContainerMounts> BuildMounts(const runtime::v1::ContainerConfig& container,
                                            const PodFacts& pod_facts, const ContainerFacts& facts,
                                            const DaemonLimits& limits, const Json& devices);

// uidMappings and gidMappings, as OCI writes them, into "linux" or a mount.
void AddIdMaps(const IdMaps& maps, Json* object);

// Parents before children, otherwise as they are.
void SortMounts(Json* mounts);

// What needs no host state: fields that are missing or exclude each other.
absl::Status ValidateMounts(const runtime::v1::ContainerConfig& container);

}  // namespace crisp
