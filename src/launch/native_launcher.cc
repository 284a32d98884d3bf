#include "launch/native_launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/status.h"
#include "launch/child_process.h"
#include "launch/container_child.h"
#include "launch/namespace_plan.h"
#include "launch/outcome_channel.h"

namespace crisp {
namespace {

// In the child: says what went wrong and ends without running the parent's exit handlers.
[[noreturn]] void End(OutcomeChannel& outcome, const absl::Status& status) {
  outcome.SendFailure(status);
  ::_exit(kExitSetupFailed);
}

absl::Status InContainer(const absl::Status& status, const std::string& id) {
  const std::string_view text = FromAbsl(status.message());
  // Sentences that name the container already.
  if (text.find(id) != std::string_view::npos) return status;
  return Annotate(status, Cat("container ", id));
}

// The folder for CLONE_INTO_CGROUP; invalid where there is no version 2.
absl::StatusOr<UniqueFd> Unified(const CgroupTree& tree, const Cgroup& cgroup) {
  if (tree.Unified() == nullptr || cgroup.path() == "/") return UniqueFd();
  return cgroup.OpenUnified();
}

}  // namespace

NativeLauncher::NativeLauncher(const CgroupTree& cgroups) : cgroups_(cgroups) {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

absl::StatusOr<Launch> NativeLauncher::Start(const StartRequest& request) {
  ASSIGN_OR_RETURN(const std::string config, ReadBundleConfig(request.bundle));
  absl::StatusOr<NamespacePlan> plan = ReadNamespacePlan(config);
  if (!plan.ok()) return InContainer(plan.status(), request.container_id);
  Cgroup cgroup(cgroups_, request.cgroup_path.empty() ? plan->cgroups_path : request.cgroup_path);
  // A scope of systemd's holds a process besides ours.
  auto remove = [cgroup] {
    (void)cgroup.Kill(SIGKILL);
    (void)cgroup.Remove(absl::Seconds(2));
  };
  absl::Cleanup undo = remove;
  ForkRequest fork{.namespaces = plan->create};
  UniqueFd unified, pid_namespace, user_namespace;
  if (cgroup.path() != "/") {
    RETURN_IF_ERROR(cgroup.Create());
    ASSIGN_OR_RETURN(unified, Unified(cgroups_, cgroup));
    fork.cgroup_fd = unified.get();
  } else {
    std::move(undo).Cancel();
  }
  if (!plan->pid_path.empty()) {
    absl::StatusOr<UniqueFd> opened = OpenFile(plan->pid_path, O_RDONLY);
    if (!opened.ok()) return InContainer(opened.status(), request.container_id);
    pid_namespace = *std::move(opened);
    fork.pid_namespace_fd = pid_namespace.get();
  }
  ContainerChild child(request, *plan, cgroups_, cgroup, unified.valid());
  if (!plan->user_path.empty()) {
    absl::StatusOr<UniqueFd> opened = OpenFile(plan->user_path, O_RDONLY);
    if (!opened.ok()) return InContainer(opened.status(), request.container_id);
    user_namespace = *std::move(opened);
    fork.user_namespace_fd = user_namespace.get();
    fork.prepare = [&] { return child.Prepare(config, user_namespace.get()); };
  }
  absl::StatusOr<Launch> forked = Fork(fork);
  if (!forked.ok()) return InContainer(forked.status(), request.container_id);
  Launch launch = *std::move(forked);
  if (launch.pid == 0) {
    OutcomeChannel outcome(std::move(launch.outcome));
    absl::Status status = CleanChild();
    if (status.ok() && !user_namespace.valid()) status = child.Prepare(config, -1);
    if (status.ok()) status = child.Run(outcome);
    End(outcome, InContainer(status, request.container_id));
  }
  std::move(undo).Cancel();
  if (cgroup.path() != "/") launch.undo = std::move(remove);
  return launch;
}

absl::StatusOr<Launch> NativeLauncher::Exec(const ExecRequest& request) {
  const Cgroup whole(cgroups_, request.cgroup_path);
  const bool own = !request.exec_id.empty() && whole.path() != "/";
  Cgroup cgroup = own ? whole.ForExec(request.exec_id) : whole;
  auto remove = [cgroup] { (void)cgroup.Remove(); };
  absl::Cleanup undo = [&] {
    if (own) remove();
  };
  if (own) RETURN_IF_ERROR(cgroup.Create());
  ASSIGN_OR_RETURN(const UniqueFd unified, Unified(cgroups_, cgroup));
  absl::StatusOr<Launch> launch =
      Fork({.cgroup_fd = unified.get(), .pid_namespace_fd = request.container_pidfd});
  if (!launch.ok()) return InContainer(launch.status(), request.container_id);
  if (launch->pid == 0) {
    OutcomeChannel outcome(std::move(launch->outcome));
    absl::Status status = CleanChild();
    if (status.ok()) status = RunExecChild(request, cgroup, unified.valid(), outcome);
    End(outcome, InContainer(status, request.container_id));
  }
  std::move(undo).Cancel();
  if (own) launch->undo = std::move(remove);
  return launch;
}

}  // namespace crisp
