// OciMountSpace: the private mount namespace in which an OCI runtime is run. The host's mounts
// arrive in it and nothing goes back; the container's overlay and what must be hidden from the
// runtime are mounted in it alone, and go with its last process. For a container in a user
// namespace all that needs the host's privileges or id-mapped mounts is done here, too, so that the
// runtime only has to join the namespace. Used in a launcher's helper process alone.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/json.h"
#include "kernel/cgroup.h"
#include "launch/launcher.h"

namespace crisp {

// Makes it for a container: config.json's shared sources stay the host's own, as bidirectional
// propagation wants; the overlay lies on <bundle>/rootfs. With a user namespace (of the path, if it
// is not empty) the ids of layers and volumes are mapped, and the runtime finds a config.json whose
// sources lie in <bundle>/sources, for no other folder is sure to be open to the namespace's root.
absl::Status EnterMountSpaceOfContainer(const Json& config, const std::string& user_namespace,
                                        const std::string& bundle, const RootfsPlan& rootfs,
                                        const CgroupTree& tree);

// Makes it for an exec: what the runtime takes for the container's cgroup in the tracking hierarchy
// is the exec's own sub-cgroup.
absl::Status EnterMountSpaceOfExec(const CgroupTree& tree, const Cgroup& container,
                                   const Cgroup* exec);

// Version 2 beside version 1 is hidden from OCI runtimes: they place the container in version 1's
// hierarchies, and crun before 1.9 refuses such a host while a controller is in version 2.
bool HidesUnified(const CgroupTree& tree);

}  // namespace crisp
