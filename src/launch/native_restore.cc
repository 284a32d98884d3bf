// NativeLauncher::Restore: as Start, but the child becomes CRIU.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/status.h"
#include "launch/child_process.h"
#include "launch/namespace_plan.h"
#include "launch/native_launcher.h"
#include "launch/outcome_channel.h"
#include "launch/restore_child.h"

namespace crisp {
namespace {

absl::Status CheckPlan(const NamespacePlan& plan) {
  if (plan.user_path.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "a container in a user namespace cannot be restored from a checkpoint");
}

}  // namespace

absl::StatusOr<Launch> Launcher::Restore(const RestoreRequest&) {
  return absl::UnimplementedError("this launcher restores no checkpoints");
}

absl::StatusOr<Launch> Launcher::Kill(const KillRequest&) {
  return absl::UnimplementedError("execs of this launcher are processes of the host");
}

absl::StatusOr<Launch> NativeLauncher::Restore(const RestoreRequest& request) {
  const StartRequest& start = request.start;
  ASSIGN_OR_RETURN(const std::string config, ReadBundleConfig(start.bundle));
  ASSIGN_OR_RETURN(const NamespacePlan plan, ReadNamespacePlan(config));
  RETURN_IF_ERROR(CheckPlan(plan));
  Cgroup cgroup(cgroups_, start.cgroup_path.empty() ? plan.cgroups_path : start.cgroup_path);
  auto remove = [cgroup] {
    (void)cgroup.Kill(SIGKILL);
    (void)cgroup.Remove(absl::Seconds(2));
  };
  absl::Cleanup undo = remove;
  UniqueFd unified;
  if (cgroup.path() != "/") {
    RETURN_IF_ERROR(cgroup.Create());
    if (cgroups_.Unified() != nullptr) {
      ASSIGN_OR_RETURN(unified, cgroup.OpenUnified());
    }
  } else {
    std::move(undo).Cancel();
  }
  RestoreChild child(request, plan, cgroup, unified.valid());
  ASSIGN_OR_RETURN(Launch launch, Fork({.namespaces = CLONE_NEWNS, .cgroup_fd = unified.get()}));
  if (launch.pid == 0) {
    OutcomeChannel outcome(std::move(launch.outcome));
    absl::Status status = CleanChild();
    if (status.ok()) status = child.Run(config, outcome);
    outcome.SendFailure(Annotate(status, Cat("container ", start.container_id)));
    ::_exit(kExitSetupFailed);
  }
  std::move(undo).Cancel();
  if (cgroup.path() != "/") launch.undo = std::move(remove);
  return launch;
}

}  // namespace crisp
