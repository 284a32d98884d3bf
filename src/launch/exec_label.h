// Exec labels: what security modules shall take the next program for: AppArmor's profile
// (process.apparmorProfile) and SELinux' context (process.selinuxLabel). Used in the forked child
// alone.
#pragma once

#include "absl/status/status.h"
#include "base/json.h"

namespace crisp {

// The very last step before seccomp and execve: the kernel takes a label only from who opened the
// file with the credentials that it writes with. proc_fd: the host's procfs. Ok if there is nothing
// to set. FailedPrecondition: this kernel has no such module.
absl::Status SetExecLabels(int proc_fd, const Json& process);

// The same in a folder that stands for /proc/PID/attr; for tests, where no module is at work.
absl::Status WriteExecLabels(int attr_fd, const Json& process);

}  // namespace crisp
