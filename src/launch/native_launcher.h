// NativeLauncher: runs containers by system calls of our own: clone3, the new mount API,
// pivot_root, capabilities, seccomp. The caller forks once a start; everything that costs memory
// (config.json) is done in the child. The caller's process must have one thread.
#pragma once

#include "kernel/cgroup.h"
#include "launch/launcher.h"

namespace crisp {

class NativeLauncher : public Launcher {
 public:
  // Makes the calling process non-dumpable, so that its children cannot be traced by a container
  // whose namespaces they join. Borrows the tree.
  explicit NativeLauncher(const CgroupTree& cgroups);

  absl::StatusOr<Launch> Start(const StartRequest& request) override;
  absl::StatusOr<Launch> Exec(const ExecRequest& request) override;
  absl::StatusOr<Launch> Restore(const RestoreRequest& request) override;

 private:
  const CgroupTree& cgroups_;
};

}  // namespace crisp
