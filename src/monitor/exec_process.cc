#include "monitor/exec_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#include <utility>

#include "base/file.h"
#include "base/status.h"
#include "monitor/monitor_log.h"
#include "monitor/process_signal.h"

namespace crisp {
namespace {

constexpr size_t kMaxProcessBytes = 4 << 20;
constexpr int kRuntimeFailed = 128;  // the exit code of a runtime that cannot go on
constexpr absl::Duration kLookAgain = absl::Milliseconds(5);
constexpr int kLooks = 40;

// The OCI process object from the memory file that the daemon sent.
absl::StatusOr<std::string> ReadProcess(int fd) {
  struct stat info;
  // Anything but a file could let the whole pod wait.
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError("the exec's process comes in no memory file");
  }
  if (lseek(fd, 0, SEEK_SET) != 0) return ErrnoStatus("seek in the exec's process");
  return ReadFd(fd, "the exec's process", kMaxProcessBytes);
}

}  // namespace

ExecProcess::ExecProcess(const MonitorParts& parts, const monitor::Exec& request,
                         uint64_t connection)
    : parts_(parts),
      container_id_(request.container_id()),
      id_(request.exec_id()),
      connection_(request.end_with_connection() ? connection : 0) {}

ExecProcess::~ExecProcess() {
  if (verdict_ != 0) parts_.loop.CancelTimer(verdict_);
  if (pid_ > 0) parts_.reaper.Forget(pid_);
  // It sees that the exec has ended.
  if (killer_.has_value()) parts_.reaper.Forget(killer_->pid);
}

absl::Status ExecProcess::Start(const monitor::Exec& request, const ContainerProcess& container,
                                std::vector<UniqueFd> descriptors, Callbacks callbacks) {
  callbacks_ = std::move(callbacks);
  const bool in_file = request.process_json().empty();
  const size_t expected = size_t{request.has_stdin()} + size_t{request.has_stdout()} +
                          size_t{request.has_stderr()} + size_t{in_file};
  if (descriptors.size() != expected) {
    return absl::InvalidArgumentError(Cat("exec ", id_, " in container ", container_id_, " names ",
                                          expected, " descriptors, but ", descriptors.size(),
                                          " came with it"));
  }
  bundle_ = container.bundle();
  runtime_ = container.runtime();
  if (runtime_.sandboxed) {
    sandbox_.reset(fcntl(container.pidfd(), F_DUPFD_CLOEXEC, 0));
    if (!sandbox_.valid()) return ErrnoStatus("keeping the pidfd of a sandbox");
  }
  ExecRequest exec;
  exec.container_id = container_id_;
  exec.bundle = bundle_;
  exec.runtime = runtime_;
  exec.exec_id = id_;
  exec.container_pidfd = container.pidfd();
  exec.cgroup_path = container.cgroup_path();
  exec.seccomp_bpf = request.seccomp_bpf();
  size_t next = 0;
  const auto take = [&](bool there) { return there ? descriptors[next++].get() : -1; };
  exec.io.in = take(request.has_stdin());
  exec.io.out = take(request.has_stdout());
  exec.io.err = take(request.has_stderr());
  exec.io.terminal = request.terminal();
  if (in_file) {
    ASSIGN_OR_RETURN(exec.process_json, ReadProcess(descriptors[next].get()));
  } else {
    exec.process_json = request.process_json();
  }
  ASSIGN_OR_RETURN(Launch launch, parts_.launcher.Exec(exec));

  const std::optional<Cgroup> cgroup = container.ItsCgroup();
  if (cgroup.has_value() && !runtime_.sandboxed) cgroup_ = cgroup->ForExec(id_);
  pid_ = launch.pid;
  pidfd_ = std::move(launch.pidfd);
  Watch();
  pending_.emplace(parts_.loop, std::move(launch),
                   [this](Outcome outcome) { LaunchEnded(std::move(outcome)); });
  const absl::Status status = pending_->Watch();
  if (!status.ok()) KillHere();
  return status;
}

void ExecProcess::Watch() {
  parts_.reaper.Watch(pid_, [this, pid = pid_](int status) { ProcessEnded(pid, status); });
}

void ExecProcess::LaunchEnded(Outcome outcome) {
  pending_.reset();
  if (outcome.pid > 0) {
    // As a container's: the helper goes, and the process is this monitor's child.
    parts_.reaper.Forget(pid_);
    pid_ = outcome.pid;
    pidfd_ = std::move(outcome.pidfd);
    Watch();
    outcome.hold.reset();
  }
  inner_ = outcome.inner;
  if (outcome.status.ok() && kill_asked_) Kill();
  // On an error the callback destroys this object: nothing may follow.
  std::exchange(callbacks_.started, nullptr)(outcome.status, std::move(outcome.terminal));
}

void ExecProcess::ProcessEnded(pid_t pid, int wait_status) {
  if (pending_.has_value()) {
    // Told first, as an error means destruction.
    bool failed = false;
    callbacks_.started = [&failed, started = std::move(callbacks_.started)](
                             const absl::Status& status, UniqueFd terminal) {
      failed = !status.ok();
      started(status, std::move(terminal));
    };
    pending_->ProcessEnded();
    if (failed || pid != pid_) return;
  }
  parts_.reaper.Forget(pid_);
  pid_ = 0;
  const int exit_code = ExitCodeOf(wait_status);
  if (!sandbox_.valid() || exit_code != kRuntimeFailed) return TellExit(exit_code);
  JudgeFailure(kLooks);
}

// What waits here for an exec fails when the sandbox ends, whose own end shows a moment later.
void ExecProcess::JudgeFailure(int looks) {
  verdict_ = 0;
  if (LostItsSandbox()) return TellExit(128 + SIGKILL);
  if (looks == 0) return TellExit(kRuntimeFailed);
  verdict_ = parts_.loop.After(kLookAgain, [this, looks] { JudgeFailure(looks - 1); });
}

// Destroys this object.
void ExecProcess::TellExit(int exit_code) { std::exchange(callbacks_.exited, nullptr)(exit_code); }

bool ExecProcess::LostItsSandbox() const {
  struct pollfd end = {sandbox_.get(), POLLIN, 0};
  return poll(&end, 1, 0) == 1;
}

void ExecProcess::Kill() {
  if (runtime_.sandboxed) return KillInSandbox();
  KillHere();
}

// The process on the host stays meanwhile: while it waits, the number inside is the exec's own.
void ExecProcess::KillInSandbox() {
  // What only starts has no number yet.
  kill_asked_ = true;
  if (pending_.has_value() || killer_.has_value() || pid_ == 0) return;
  absl::StatusOr<Launch> killer =
      parts_.launcher.Kill({container_id_, bundle_, id_, runtime_, inner_, pidfd_.get()});
  if (!killer.ok()) {
    Report(
        Cat("kill exec ", id_, " in container ", container_id_, ": ", killer.status().message()));
    return KillHere();
  }
  killer_ = *std::move(killer);
  parts_.reaper.Watch(killer_->pid, [this](int status) { KillerEnded(status); });
}

void ExecProcess::KillerEnded(int wait_status) {
  std::optional<Launch> killer = std::exchange(killer_, std::nullopt);
  if (wait_status == 0) return;
  const std::optional<Outcome> outcome = ReadOutcome(*killer);
  Report(Cat("exec ", id_, " in container ", container_id_,
             " was given up, what runs of it in the sandbox was not killed: ",
             outcome.has_value() ? outcome->status.message() : "its killer has ended"));
  KillHere();
}

void ExecProcess::KillHere() {
  if (cgroup_.has_value()) {
    if (const absl::Status status = cgroup_->Kill(SIGKILL); !status.ok()) {
      Report(Cat("kill exec ", id_, " in container ", container_id_, ": ", status.message()));
    }
  }
  if (pidfd_.valid()) {
    [[maybe_unused]] const absl::Status killed = SignalProcess(pidfd_.get(), SIGKILL);
  }
}

}  // namespace crisp
