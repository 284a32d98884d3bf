#include "monitor/container_restore.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <utility>

#include "base/file.h"
#include "base/status.h"
#include "kernel/criu_log.h"
#include "monitor/process_signal.h"

namespace crisp {
namespace {

constexpr size_t kMaxPidFile = 64;

absl::StatusOr<pid_t> ReadPid(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxPidFile));
  const std::string_view digits = Trim(text);
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), pid);
  if (error != std::errc() || end != digits.data() + digits.size() || pid <= 1) {
    return absl::InternalError(Cat(path, " names no process"));
  }
  return pid;
}

}  // namespace

ContainerRestore::ContainerRestore(const MonitorParts& parts, std::string container_id)
    : parts_(parts), id_(std::move(container_id)) {
  parts_.reaper.ExpectStray();
}

ContainerRestore::~ContainerRestore() {
  if (timer_ != 0) parts_.loop.CancelTimer(timer_);
  if (criu_ > 0) parts_.reaper.Forget(criu_);
  parts_.reaper.ExpectNoMore();
}

absl::Status ContainerRestore::Start(const RestoreRequest& request, absl::Duration patience,
                                     Done done) {
  work_ = request.work;
  patience_ = patience;
  // Of an earlier try, which must not be believed.
  for (const char* file : {kRestoredPid, kRestoreLog}) {
    RETURN_IF_ERROR(RemoveFile(JoinPath(work_, file)));
  }
  ASSIGN_OR_RETURN(Launch launch, parts_.launcher.Restore(request));
  done_ = std::move(done);
  criu_ = launch.pid;
  criu_pidfd_ = std::move(launch.pidfd);
  parts_.reaper.Watch(criu_, [this](int wait_status) { CriuEnded(wait_status); });
  timer_ = parts_.loop.After(patience, [this] {
    timer_ = 0;
    timed_out_ = true;
    Kill();
  });
  pending_.emplace(parts_.loop, std::move(launch),
                   [this](Outcome outcome) { LaunchEnded(std::move(outcome)); });
  return pending_->Watch();
}

void ContainerRestore::Kill() {
  if (!criu_pidfd_.valid()) return;
  [[maybe_unused]] const absl::Status killed = SignalProcess(criu_pidfd_.get(), SIGKILL);
}

// Ok: CRIU was executed, and its end tells the rest.
void ContainerRestore::LaunchEnded(Outcome outcome) {
  pending_.reset();
  if (!outcome.status.ok()) return Finish(std::move(outcome.status));
  terminal_ = std::move(outcome.terminal);
}

void ContainerRestore::CriuEnded(int wait_status) {
  criu_ = 0;
  criu_pidfd_.reset();
  if (pending_.has_value()) {
    // Its outcome comes first: why the child did not become CRIU, if so.
    std::optional<absl::Status> failure;
    const Done done =
        std::exchange(done_, [&](absl::StatusOr<Restored> result) { failure = result.status(); });
    pending_->ProcessEnded();
    done_ = done;
    if (failure.has_value()) return Finish(*std::move(failure));
  }
  Finish(Result(wait_status));
}

absl::StatusOr<ContainerRestore::Restored> ContainerRestore::Result(int wait_status) {
  if (const int code = ExitCodeOf(wait_status); code != 0) {
    if (timed_out_) {
      return absl::DeadlineExceededError(Cat("restoring it took longer than ",
                                             absl::FormatDuration(patience_).c_str(),
                                             ": CRIU was killed"));
    }
    const std::string errors = CriuErrorsOf(JoinPath(work_, kRestoreLog));
    return absl::InternalError(Cat("CRIU could not restore it (exit code ", code, ")",
                                   errors.empty() ? "" : ": ", errors));
  }
  Restored restored;
  restored.terminal = std::move(terminal_);
  ASSIGN_OR_RETURN(restored.pid, ReadPid(JoinPath(work_, kRestoredPid)));
  restored.pidfd.reset(static_cast<int>(syscall(SYS_pidfd_open, restored.pid, 0)));
  siginfo_t nothing = {};
  if (restored.pidfd.valid() && waitid(P_PIDFD, static_cast<id_t>(restored.pidfd.get()), &nothing,
                                       WEXITED | WNOHANG | WNOWAIT) == 0) {
    return restored;
  }
  // No child of this process (any more): it has been buried already.
  restored.ended = parts_.reaper.TakeStray(restored.pid);
  if (restored.ended.has_value()) return restored;
  return absl::InternalError("CRIU restored it, but its process is not there");
}

void ContainerRestore::Finish(absl::StatusOr<Restored> result) {
  // done may destroy this object, and with it done_.
  const Done done = std::move(done_);
  done(std::move(result));
}

}  // namespace crisp
