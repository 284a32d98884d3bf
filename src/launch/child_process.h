// ChildProcess: clone3(2) as the launcher needs it: one fork, into a cgroup of version 2, into
// another PID namespace, with a pidfd and a socket for the outcome. Into a user namespace it takes
// two: a stage with the host's privileges, then the child, which has those of the user namespace.
// The caller must have one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "launch/launcher.h"
#include "launch/outcome_channel.h"

namespace crisp {

// The exit code of a child that could not become its program.
inline constexpr int kExitSetupFailed = 128;

struct ForkRequest {
  uint64_t namespaces = 0;    // CLONE_NEW*
  int cgroup_fd = -1;         // of version 2, or -1
  int pid_namespace_fd = -1;  // a namespace descriptor or a pidfd whose namespace to join, or -1
  // A user namespace to join, or -1. Then `prepare` runs in a process between the two, with the
  // host's privileges, in a mount namespace of its own; the child is a copy of it, in namespaces
  // that belong to the user namespace. The caller waits for the stage, at most 10 s.
  int user_namespace_fd = -1;
  std::function<absl::Status()> prepare;
};

// In the parent: the launch. In the child: launch.pid is 0 and launch.outcome its end of the
// socket. FailedPrecondition if the PID namespace's first process is gone.
absl::StatusOr<Launch> Fork(const ForkRequest& request);

// First thing in the child: default signals, a session of its own, descriptors 0 to 2 in use (so
// that nothing that matters gets these numbers), no outliving the parent until execve.
absl::Status CleanChild();

// As execve(2) takes arguments and environment: pointers into the strings, then a null.
std::vector<char*> ExecPointers(std::vector<std::string>& strings);

}  // namespace crisp
