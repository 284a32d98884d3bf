// OciMountSpace: the private mount namespace in which an OCI runtime is run. The host's mounts
// arrive in it and nothing goes back; the container's overlay, the sources of its mounts, and what
// must be hidden from the runtime are mounted in it alone, and go with its last process. All that
// not every runtime can (id-mapped mounts, read-only ones with all below them, sources in folders
// that a user namespace's root may not enter) is done here. Used in a launcher's helper alone.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/json.h"
#include "kernel/cgroup.h"
#include "launch/launcher.h"

namespace crisp {

// Makes it for a container: the overlay lies on <bundle>/rootfs, and the runtime finds a
// config.json whose bind mounts have their sources in <bundle>/sources. With a user namespace, by
// its path, the ids of layers are mapped, too; empty: none.
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
