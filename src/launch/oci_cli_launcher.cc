#include "launch/oci_cli_launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/status.h"
#include "launch/child_process.h"
#include "launch/namespace_plan.h"
#include "launch/oci_child.h"
#include "launch/oci_mount_space.h"

namespace crisp {
namespace {

// In the hybrid layout the runtime places the container in version 1 alone; in version 2 the helper
// is born in the folder, and what it runs with it.
absl::StatusOr<UniqueFd> UnifiedBirthplace(const CgroupTree& tree, const Cgroup& cgroup) {
  if (!HidesUnified(tree) || cgroup.path() == "/") return UniqueFd();
  const std::string folder = tree.Unified()->folder + cgroup.path();
  RETURN_IF_ERROR(MakeFolders(folder));
  return OpenFile(folder, O_RDONLY | O_DIRECTORY);
}

absl::StatusOr<std::string> CgroupPathOf(const StartRequest& request) {
  if (!request.cgroup_path.empty()) return request.cgroup_path;
  ASSIGN_OR_RETURN(const std::string config, ReadBundleConfig(request.bundle));
  ASSIGN_OR_RETURN(NamespacePlan plan, ReadNamespacePlan(config));
  return std::move(plan.cgroups_path);
}

}  // namespace

absl::StatusOr<Launch> OciCliLauncher::Start(const StartRequest& request) {
  ASSIGN_OR_RETURN(const std::string path, CgroupPathOf(request));
  const Cgroup cgroup(cgroups_, path);
  // A scope of systemd's holds a process besides the container's.
  auto remove = [cgroup] {
    (void)cgroup.Kill(SIGKILL);
    (void)cgroup.Remove(absl::Seconds(2));
  };
  absl::Cleanup undo = [&] {
    if (cgroup.path() != "/") remove();
  };
  ASSIGN_OR_RETURN(const UniqueFd unified, UnifiedBirthplace(cgroups_, cgroup));
  ASSIGN_OR_RETURN(Launch launch, Fork({.cgroup_fd = unified.get()}));
  if (launch.pid == 0) {
    RunOciStart(request, cgroups_, OutcomeChannel(std::move(launch.outcome)));
  }
  std::move(undo).Cancel();
  if (cgroup.path() != "/") launch.undo = std::move(remove);
  return launch;
}

absl::StatusOr<Launch> OciCliLauncher::Exec(const ExecRequest& request) {
  const Cgroup whole(cgroups_, request.cgroup_path);
  // What a sandboxed runtime has on the host for an exec is not the container's.
  const bool own = !request.exec_id.empty() && whole.path() != "/" && !request.runtime.sandboxed;
  Cgroup exec = own ? whole.ForExec(request.exec_id) : whole;
  auto remove = [exec] { (void)exec.Remove(); };
  absl::Cleanup undo = [&] {
    if (own) remove();
  };
  if (own) RETURN_IF_ERROR(exec.Create());
  UniqueFd unified;
  if (!request.runtime.sandboxed) {
    ASSIGN_OR_RETURN(unified, UnifiedBirthplace(cgroups_, exec));
  }
  ASSIGN_OR_RETURN(Launch launch, Fork({.cgroup_fd = unified.get()}));
  if (launch.pid == 0) {
    RunOciExec(request, cgroups_, own ? &exec : nullptr, OutcomeChannel(std::move(launch.outcome)));
  }
  std::move(undo).Cancel();
  if (own) launch.undo = std::move(remove);
  return launch;
}

absl::StatusOr<Launch> OciCliLauncher::Kill(const KillRequest& request) {
  ASSIGN_OR_RETURN(Launch launch, Fork({}));
  if (launch.pid == 0) RunOciKill(request, OutcomeChannel(std::move(launch.outcome)));
  return launch;
}

}  // namespace crisp
