// What the helper process of an OCI CLI launch does: makes the private mount namespace, runs the
// runtime's program in it, tells the outcome, and stays until the caller watches the process that
// came of it. The helper is a subreaper, so that this process is its child meanwhile and no end of
// it is lost. Nothing here returns.
#pragma once

#include "kernel/cgroup.h"
#include "launch/launcher.h"
#include "launch/outcome_channel.h"

namespace crisp {

[[noreturn]] void RunOciStart(const StartRequest& request, const CgroupTree& tree,
                              OutcomeChannel outcome);
// exec: its own sub-cgroup, or null.
[[noreturn]] void RunOciExec(const ExecRequest& request, const CgroupTree& tree, const Cgroup* exec,
                             OutcomeChannel outcome);
// As Launcher::Kill says.
[[noreturn]] void RunOciKill(KillRequest request, OutcomeChannel outcome);

}  // namespace crisp
