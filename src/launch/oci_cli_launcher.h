// OciCliLauncher: runs containers by the command line of an OCI runtime (crun, runc, runsc). Each
// launch forks a helper (oci_child.h), because the caller must not block; the process that comes of
// it reaches the caller through the Outcome. The runtime keeps its state in the bundle,
// <bundle>/oci, and goes with it: nothing has to be deleted when a container ends. The caller must
// have one thread and be a subreaper.
#pragma once

#include "kernel/cgroup.h"
#include "launch/launcher.h"

namespace crisp {

class OciCliLauncher : public Launcher {
 public:
  // Borrows the tree.
  explicit OciCliLauncher(const CgroupTree& cgroups) : cgroups_(cgroups) {}

  absl::StatusOr<Launch> Start(const StartRequest& request) override;
  absl::StatusOr<Launch> Exec(const ExecRequest& request) override;
  absl::StatusOr<Launch> Kill(const KillRequest& request) override;

 private:
  const CgroupTree& cgroups_;
};

}  // namespace crisp
