#include "kernel/cgroup_room.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/file.h"
#include "base/status.h"
#include "kernel/cgroup_folder.h"

namespace crisp {
namespace {

constexpr int kMaxMovePasses = 20;  // of moving what forks meanwhile

// "+cpu +memory": what the children do not have yet; empty if they have all.
absl::StatusOr<std::string> Missing(const CgroupFolder& root) {
  ASSIGN_OR_RETURN(const std::string offered, root.Read("cgroup.controllers"));
  ASSIGN_OR_RETURN(const std::string enabled, root.Read("cgroup.subtree_control"));
  const std::vector<std::string_view> have = SplitWords(enabled, ' ');
  std::string missing;
  for (const std::string_view controller : SplitWords(offered, ' ')) {
    if (std::find(have.begin(), have.end(), controller) == have.end()) {
      missing += Cat(missing.empty() ? "+" : " +", controller);
    }
  }
  return missing;
}

absl::Status MoveProcesses(const CgroupFolder& from, const CgroupFolder& to) {
  for (int pass = 0; pass < kMaxMovePasses; ++pass) {
    ASSIGN_OR_RETURN(const std::string pids, from.Read("cgroup.procs"));
    if (pids.empty()) return absl::OkStatus();
    for (const std::string_view pid : SplitWords(pids, '\n')) {
      const int error = to.TryWrite("cgroup.procs", pid);
      if (error == 0 || error == ESRCH) continue;
      return Errno(error, Cat("move process ", pid, " from cgroup ", from.path(), " to ", to.path(),
                              pid == "0" ? " (it is of a PID namespace that cannot be seen)" : ""));
    }
  }
  return absl::FailedPreconditionError(
      Cat("the processes of cgroup ", from.path(), " fork faster than they can be moved away"));
}

}  // namespace

absl::StatusOr<bool> MakeRoomInCgroupRoot(const CgroupTree& tree) {
  if (tree.version() != CgroupVersion::kV2) return false;
  const CgroupHierarchy* unified = tree.Unified();
  if (unified->controllers.empty()) return false;
  ASSIGN_OR_RETURN(const CgroupFolder root, CgroupFolder::Open(unified->folder));
  ASSIGN_OR_RETURN(const std::string missing, Missing(root));
  if (missing.empty()) return false;
  const int error = root.TryWrite("cgroup.subtree_control", missing);
  if (error == 0) return false;
  // The host's root has no such file. There some controller is missing for another reason, which
  // shows when a limit is set.
  if (!root.Has("cgroup.type")) return false;
  if (error != EBUSY) {
    return Errno(error, Cat("enable the controllers \"", missing, "\" below ", root.path()));
  }
  const std::string init = JoinPath(root.path(), kCgroupOfInit);
  if (mkdir(init.c_str(), 0755) != 0 && errno != EEXIST) return ErrnoStatus("make cgroup ", init);
  ASSIGN_OR_RETURN(const CgroupFolder leaf, CgroupFolder::Open(init));
  RETURN_IF_ERROR(MoveProcesses(root, leaf));
  RETURN_IF_ERROR(root.Write("cgroup.subtree_control", missing));
  return true;
}

}  // namespace crisp
