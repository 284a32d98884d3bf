// The end of a cgroup: who is in it, signals to all, freezing, removal.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "kernel/cgroup.h"
#include "kernel/cgroup_folder.h"

namespace crisp {
namespace {

constexpr int kMaxDepth = 128;      // of sub-cgroups that are looked into
constexpr int kMaxKillPasses = 50;  // of killing what forks meanwhile

void CollectProcesses(const CgroupFolder& folder, int depth, std::vector<pid_t>* pids) {
  const absl::StatusOr<std::string> text = folder.Read("cgroup.procs");
  if (text.ok()) {
    for (const std::string_view line : SplitWords(*text, '\n')) {
      pid_t pid = 0;
      std::from_chars(line.data(), line.data() + line.size(), pid);
      if (pid > 0) pids->push_back(pid);  // 0: a process of a PID namespace we cannot see
    }
  }
  if (depth >= kMaxDepth) return;
  for (const std::string& name : folder.Children()) {
    const absl::StatusOr<CgroupFolder> child = folder.Child(name);
    if (child.ok()) CollectProcesses(*child, depth + 1, pids);
  }
}

// rmdir of a folder and all folders below it, however deep, with two descriptors. False if one is
// busy.
absl::StatusOr<bool> RemoveFolders(const std::string& folder) {
  if (rmdir(folder.c_str()) == 0 || errno == ENOENT) return true;
  if (errno != EBUSY && errno != ENOTEMPTY) return ErrnoStatus("remove cgroup ", folder);
  absl::StatusOr<CgroupFolder> here = CgroupFolder::Open(folder);
  std::vector<std::string> way;  // from folder to here
  while (here.ok()) {
    const std::vector<std::string> children = here->Children();
    if (!children.empty()) {
      here = here->Child(children.front());
      way.push_back(children.front());
      continue;
    }
    if (way.empty()) break;
    here = here->Child("..");
    if (!here.ok()) break;
    if (unlinkat(here->fd(), way.back().c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return errno == EBUSY ? absl::StatusOr<bool>(false)
                            : ErrnoStatus("remove cgroup ", way.back(), " below ", folder);
    }
    way.pop_back();
  }
  if (rmdir(folder.c_str()) == 0 || errno == ENOENT) return true;
  if (errno == EBUSY) return false;
  return ErrnoStatus("remove cgroup ", folder);
}

}  // namespace

absl::StatusOr<std::vector<pid_t>> Cgroup::Processes() const {
  std::vector<pid_t> pids;
  const absl::StatusOr<CgroupFolder> folder = CgroupFolder::Open(TrackerPlace().folder);
  if (!folder.ok())
    return absl::IsNotFound(folder.status()) ? pids
                                             : absl::StatusOr<std::vector<pid_t>>(folder.status());
  CollectProcesses(*folder, 0, &pids);
  std::sort(pids.begin(), pids.end());
  return pids;
}

absl::Status Cgroup::Kill(int signal) const {
  if (IsRoot()) return absl::InvalidArgumentError("the root cgroup is nobody's to kill");
  const Place& place = TrackerPlace();
  const absl::StatusOr<CgroupFolder> folder = CgroupFolder::Open(place.folder);
  if (!folder.ok()) return absl::IsNotFound(folder.status()) ? absl::OkStatus() : folder.status();
  // Linux 5.14; recursive, and forks do not escape it.
  if (signal == SIGKILL && place.hierarchy->v2 && folder->TryWrite("cgroup.kill", "1") == 0) {
    return absl::OkStatus();
  }
  const bool freezer = place.hierarchy->Has("freezer");
  std::set<pid_t> signalled;
  for (int pass = 0; pass < kMaxKillPasses; ++pass) {
    ASSIGN_OR_RETURN(const std::vector<pid_t> pids, Processes());
    bool news = false;
    for (const pid_t pid : pids) {
      if (!signalled.insert(pid).second) continue;
      news = true;
      if (kill(pid, signal) != 0 && errno != ESRCH) {
        return ErrnoStatus("send signal ", signal, " to process ", pid, " of cgroup ", path_);
      }
    }
    // Frozen processes die only when they thaw.
    if (signal == SIGKILL && freezer && pass > 0) folder->TryWrite("freezer.state", "THAWED");
    if (!news || signal != SIGKILL) break;
    // New ones again: what forks this fast must stand still while it is counted.
    if (freezer && pass > 0) folder->TryWrite("freezer.state", "FROZEN");
  }
  if (signal == SIGKILL && freezer && !signalled.empty()) {
    folder->TryWrite("freezer.state", "THAWED");
  }
  return absl::OkStatus();
}

absl::Status Cgroup::Freeze() const {
  if (IsRoot()) return absl::InvalidArgumentError("the root cgroup is nobody's to freeze");
  const Place& place = TrackerPlace();
  ASSIGN_OR_RETURN(const CgroupFolder folder, CgroupFolder::Open(place.folder));
  if (!place.hierarchy->v2 && !place.hierarchy->Has("freezer")) {
    return absl::FailedPreconditionError(
        Cat("freeze cgroup ", path_, ": this host has no freezer controller mounted"));
  }
  const absl::Time deadline = absl::Now() + absl::Seconds(1);
  if (place.hierarchy->v2) RETURN_IF_ERROR(folder.Write("cgroup.freeze", "1"));
  for (absl::Duration pause = absl::Microseconds(100);;
       pause = std::min(pause * 2, absl::Milliseconds(10))) {
    if (place.hierarchy->v2) {
      if (folder.Counter("cgroup.events", "frozen") == 1) return absl::OkStatus();
    } else {
      // Written again each time: version 1 may miss a process that forks meanwhile.
      RETURN_IF_ERROR(folder.Write("freezer.state", "FROZEN"));
      ASSIGN_OR_RETURN(const std::string state, folder.Read("freezer.state"));
      if (state == "FROZEN") return absl::OkStatus();
    }
    if (absl::Now() >= deadline) break;
    absl::SleepFor(pause);
  }
  RETURN_IF_ERROR(Thaw());
  return absl::DeadlineExceededError(
      Cat("freeze cgroup ", path_, ": a process did not stand still within 1 s"));
}

absl::Status Cgroup::Thaw() const {
  const Place& place = TrackerPlace();
  ASSIGN_OR_RETURN(const CgroupFolder folder, CgroupFolder::Open(place.folder));
  return place.hierarchy->v2 ? folder.Write("cgroup.freeze", "0")
                             : folder.Write("freezer.state", "THAWED");
}

std::string Cgroup::FreezerFolder() const { return TrackerPlace().folder; }

absl::Status Cgroup::Remove(absl::Duration patience) const {
  if (IsRoot()) return absl::InvalidArgumentError("the root cgroup is nobody's to remove");
  const absl::Time deadline = absl::Now() + patience;
  absl::Status failure;
  for (const Place& place : places_) {
    if (!place.own) continue;
    for (absl::Duration pause = absl::Microseconds(200);;
         pause = std::min(pause * 2, absl::Milliseconds(20))) {
      const absl::StatusOr<bool> removed = RemoveFolders(place.folder);
      if (!removed.ok()) failure = removed.status();
      if (!removed.ok() || *removed) break;
      if (absl::Now() >= deadline) {
        const absl::StatusOr<std::vector<pid_t>> pids = Processes();
        failure = absl::FailedPreconditionError(
            Cat("remove cgroup ", place.folder, ": it is busy; ", pids.ok() ? pids->size() : 0,
                " processes are in it",
                pids.ok() && !pids->empty() ? Cat(", one is ", pids->front()) : ""));
        break;
      }
      absl::SleepFor(pause);
    }
  }
  return failure;
}

}  // namespace crisp
