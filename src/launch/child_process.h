// ChildProcess: clone3(2) as the launcher needs it: one fork, into a cgroup of version 2, into
// another PID namespace, with a pidfd and a socket for the outcome. The caller must have one
// thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "launch/launcher.h"
#include "launch/outcome_channel.h"

namespace crisp {

struct ForkRequest {
  uint64_t namespaces = 0;    // CLONE_NEW*
  int cgroup_fd = -1;         // of version 2, or -1
  int pid_namespace_fd = -1;  // a namespace descriptor or a pidfd whose namespace to join, or -1
};

// In the parent: the launch. In the child: launch.pid is 0 and launch.outcome its end of the
// socket. FailedPrecondition if the PID namespace's first process is gone.
absl::StatusOr<Launch> Fork(const ForkRequest& request);

// First thing in the child: default signals, a session of its own, descriptors 0 to 2 in use (so
// that nothing that matters gets these numbers), no outliving the parent until execve.
absl::Status CleanChild();

}  // namespace crisp
