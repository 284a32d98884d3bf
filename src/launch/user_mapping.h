// User mapping: what a launch into a user namespace needs besides the namespace: its id maps, what
// must be given to its root while the host's privileges are at hand, and becoming that root. Used
// in the forked child alone.
#pragma once

#include "absl/status/statusor.h"
#include "base/json.h"
#include "kernel/cgroup.h"
#include "kernel/user_namespace.h"
#include "launch/launcher.h"

namespace crisp {

// uidMappings and gidMappings of OCI's "linux" or of a mount; empty if there are none.
// InvalidArgument for a range that is none.
absl::StatusOr<IdMaps> ParseIdMaps(const Json& object);

// The maps of the process that the descriptor stands for; empty if it is in this process's own user
// namespace. proc_fd: the host's procfs.
absl::StatusOr<IdMaps> IdMapsOf(int proc_fd, int pidfd);

// Pipes (so that /dev/stdout can be opened) and, on cgroup version 2, the container's cgroup: the
// files that the kernel names for delegation. What cannot be given away stays the host's.
void GiveToRoot(const ProcessIo& io, const IdMaps& maps);
void GiveToRoot(const CgroupTree& tree, const Cgroup& cgroup, const IdMaps& maps);

// Becomes user and group 0 of the user namespace that this process is in.
absl::Status BecomeMappedRoot();

}  // namespace crisp
