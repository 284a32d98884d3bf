// What a checkpoint leaves if crispd dies in the middle of it: CRIU, which would freeze the
// container again at its end; containers that stand still; a folder. The folder's file "frozen" is
// the journal.
#include <signal.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "kernel/cgroup.h"
#include "pod/folder_names.h"
#include "pod/pidfd.h"
#include "pod/pod_capture.h"

namespace crisp {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr absl::Duration kPause = absl::Milliseconds(5);

// Whether one of its arguments is in the folder.
bool WorksIn(const std::string& folder, pid_t pid) {
  const absl::StatusOr<std::string> line = ReadFile(Cat("/proc/", pid, "/cmdline"), 1 << 20);
  return line.ok() && line->find(Cat(std::string(1, '\0'), folder, "/")) != line->npos;
}

void KillThoseIn(const std::string& folder) {
  const absl::Time deadline = absl::Now() + kPatience;
  for (const pid_t pid : ProcessIds()) {
    const UniqueFd process(pidfd_open(pid, 0));
    if (!process.valid() || !WorksIn(folder, pid)) continue;
    LOG_WARN("process {} of an interrupted checkpoint is killed", pid);
    // With what it has started, such as tar: crispd made it the leader of a group.
    if (getpgid(pid) == pid) {
      (void)kill(-pid, SIGKILL);
    } else {
      (void)pidfd_send_signal(process.get(), SIGKILL, nullptr, 0);
    }
    while (WorksIn(folder, pid) && absl::Now() < deadline) absl::SleepFor(kPause);
  }
}

}  // namespace

void PodState::SweepCheckpoints() {
  for (const std::string& name : NamesIn(paths.Checkpoints())) {
    const std::string folder = JoinPath(paths.Checkpoints(), name);
    KillThoseIn(folder);
    const absl::StatusOr<std::string> frozen = ReadFile(JoinPath(folder, kFrozenFile), 1 << 20);
    if (frozen.ok()) {
      for (const std::string_view path : SplitWords(*frozen, '\n')) {
        const Cgroup cgroup(*cgroups, path);
        if (!cgroup.Exists()) continue;
        LOG_WARN("a checkpoint was interrupted: cgroup {} is thawed", path);
        if (absl::Status status = cgroup.Thaw(); !status.ok()) LOG_ERROR("{}", status.ToString());
      }
    }
    if (absl::Status status = trash->Throw(folder); !status.ok())
      LOG_ERROR("{}", status.ToString());
  }
}

}  // namespace crisp
