#include "monitor/container_process.h"

#include <signal.h>

#include <cerrno>
#include <utility>

#include "base/status.h"
#include "monitor/clock.h"
#include "monitor/exit_record.h"
#include "monitor/monitor_log.h"
#include "monitor/process_signal.h"

namespace crisp {
namespace {

constexpr int kStartErrorCode = 128;
constexpr size_t kMaxMessageBytes = 4096;
constexpr absl::Duration kRestorePatience = absl::Minutes(10);
constexpr absl::Duration kCgroupPatience = absl::Seconds(2);

RootfsPlan PlanOf(const monitor::StartContainer& request) {
  RootfsPlan plan;
  plan.present = request.has_rootfs();
  const monitor::Rootfs& rootfs = request.rootfs();
  plan.lower.assign(rootfs.lower().begin(), rootfs.lower().end());
  plan.upper = rootfs.upper();
  plan.work = rootfs.work();
  plan.options.assign(rootfs.options().begin(), rootfs.options().end());
  return plan;
}

}  // namespace

ContainerProcess::ContainerProcess(const MonitorParts& parts,
                                   const monitor::StartContainer& request)
    : parts_(parts),
      id_(request.container_id()),
      bundle_(request.bundle()),
      cgroup_path_(request.cgroup_path()),
      runtime_{request.launcher(),
               {request.launcher_args().begin(), request.launcher_args().end()},
               request.launcher_sandboxed()} {}

ContainerProcess::~ContainerProcess() {
  if (pid_ > 0 && !exited()) parts_.reaper.Forget(pid_);
}

absl::Status ContainerProcess::Start(const monitor::StartContainer& request, Callbacks callbacks) {
  callbacks_ = std::move(callbacks);
  const absl::Status status = Launch(request);
  if (!status.ok()) FailStart(status);
  return status;
}

absl::Status ContainerProcess::Restore(const monitor::RestoreContainer& request,
                                       Callbacks callbacks) {
  callbacks_ = std::move(callbacks);
  const absl::Status status = LaunchRestore(request);
  if (!status.ok()) FailStart(status);
  return status;
}

absl::StatusOr<ContainerIo::ChildEnds> ContainerProcess::OpenIo(
    const monitor::StartContainer& request) {
  ContainerIo::Options io_options;
  io_options.terminal = request.terminal();
  io_options.input = request.stdin();
  io_options.input_once = request.stdin_once();
  io_options.log_path = request.log_path();
  if (request.log_line_max() > 0) io_options.line_max = request.log_line_max();
  ASSIGN_OR_RETURN(io_, ContainerIo::Create(parts_.loop, parts_.buffer, io_options));
  return io_->TakeChildEnds();
}

StartRequest ContainerProcess::StartOf(const monitor::StartContainer& request,
                                       const ContainerIo::ChildEnds& ends) const {
  StartRequest start;
  start.container_id = id_;
  start.bundle = bundle_;
  start.cgroup_path = cgroup_path_;
  start.rootfs = PlanOf(request);
  start.io = {ends.in.get(), ends.out.get(), ends.err.get(), request.terminal()};
  start.seccomp_bpf = request.seccomp_bpf();
  start.runtime = runtime_;
  return start;
}

absl::Status ContainerProcess::Launch(const monitor::StartContainer& request) {
  ASSIGN_OR_RETURN(const ContainerIo::ChildEnds ends, OpenIo(request));
  ASSIGN_OR_RETURN(crisp::Launch launch, parts_.launcher.Start(StartOf(request, ends)));

  pid_ = launch.pid;
  pidfd_ = std::move(launch.pidfd);
  Watch();
  pending_.emplace(parts_.loop, std::move(launch),
                   [this](Outcome outcome) { LaunchEnded(std::move(outcome)); });
  return pending_->Watch();
}

absl::Status ContainerProcess::LaunchRestore(const monitor::RestoreContainer& request) {
  ASSIGN_OR_RETURN(const ContainerIo::ChildEnds ends, OpenIo(request.start()));
  RestoreRequest restore;
  restore.start = StartOf(request.start(), ends);
  restore.criu = request.criu();
  restore.images = request.images();
  restore.work = request.work();
  for (const monitor::ExternalMount& one : request.external()) {
    restore.external.push_back({one.key(), one.source()});
  }
  const uint32_t seconds = request.timeout_seconds();
  restore_.emplace(parts_, id_);
  return restore_->Start(restore, seconds == 0 ? kRestorePatience : absl::Seconds(seconds),
                         [this](absl::StatusOr<ContainerRestore::Restored> result) {
                           RestoreEnded(std::move(result));
                         });
}

void ContainerProcess::RestoreEnded(absl::StatusOr<ContainerRestore::Restored> result) {
  absl::Status status = result.status();
  if (result.ok()) {
    pid_ = result->pid;
    pidfd_ = std::move(result->pidfd);
    if (result->terminal.valid()) status = io_->TakeTerminal(std::move(result->terminal));
  }
  if (!status.ok()) {
    FailStart(status);
  } else {
    restore_.reset();
    started_at_ = UnixNanos();
    Watch();
  }
  if (callbacks_.started) std::exchange(callbacks_.started, nullptr)(status);
  if (!status.ok() || !result->ended.has_value()) return;
  parts_.reaper.Forget(pid_);
  ProcessEnded(pid_, *result->ended);
}

void ContainerProcess::Watch() {
  parts_.reaper.Watch(pid_, [this, pid = pid_](int status) { ProcessEnded(pid, status); });
}

void ContainerProcess::LaunchEnded(Outcome outcome) {
  pending_.reset();
  if (outcome.pid > 0) {
    // What was launched was a helper; the process becomes this monitor's child as the helper goes.
    parts_.reaper.Forget(pid_);
    pid_ = outcome.pid;
    pidfd_ = std::move(outcome.pidfd);
    Watch();
    outcome.hold.reset();
  }
  absl::Status status = outcome.status;
  if (status.ok() && outcome.terminal.valid()) {
    status = io_->TakeTerminal(std::move(outcome.terminal));
  }
  if (!status.ok()) {
    FailStart(status);
  } else {
    started_at_ = UnixNanos();
  }
  if (callbacks_.started) std::exchange(callbacks_.started, nullptr)(status);
}

void ContainerProcess::FailStart(const absl::Status& status) {
  pending_.reset();
  Kill();
  if (restore_.has_value()) {
    restore_.reset();
    // CRIU's cgroup; of any other failed launch the launcher removes it.
    if (const std::optional<Cgroup> cgroup = ItsCgroup()) (void)cgroup->Remove(kCgroupPatience);
  }
  if (pid_ > 0) parts_.reaper.Forget(pid_);
  io_.reset();
  monitor::ExitRecord record;
  record.set_exit_code(kStartErrorCode);
  record.set_never_ran(true);
  record.set_message(std::string(FromAbsl(status.message()).substr(0, kMaxMessageBytes)));
  Record(std::move(record));
}

void ContainerProcess::ProcessEnded(pid_t pid, int wait_status) {
  if (pending_.has_value()) {
    pending_->ProcessEnded();
    if (exited() || pid != pid_) return;
  }
  monitor::ExitRecord record;
  record.set_exit_code(ExitCodeOf(wait_status));
  // Before anyone hears of the exit and removes the cgroup with its counter.
  const std::optional<Cgroup> cgroup = ItsCgroup();
  record.set_oom_killed(record.exit_code() != 0 && cgroup.has_value() && cgroup->OomKills() > 0);
  io_->Drain();
  Record(std::move(record));
  // Without a PID namespace of its own, the container's other processes are still there.
  if (cgroup.has_value()) {
    if (const absl::Status status = cgroup->Kill(SIGKILL); !status.ok()) {
      Report(Cat("kill what container ", id_, " left behind: ", status.message()));
    }
  }
  if (callbacks_.exited) std::exchange(callbacks_.exited, nullptr)();
  // After the exit is known: who sees an attachment end may ask for the exit code.
  io_->EndClients();
  if (io_->ended()) io_.reset();
}

void ContainerProcess::GiveUp() {
  if (exited()) return;
  pending_.reset();
  restore_.reset();
  parts_.reaper.Forget(pid_);
  if (io_ != nullptr) io_->Drain();
  monitor::ExitRecord record;
  record.set_exit_code(128 + SIGKILL);
  record.set_message(
      "it was killed and did not die; the record was written without waiting longer");
  Record(std::move(record));
  if (io_ != nullptr) io_->EndClients();
}

void ContainerProcess::Record(monitor::ExitRecord record) {
  record.set_container_id(id_);
  record.set_started_at(started_at_);
  record.set_finished_at(UnixNanos());
  pidfd_.reset();
  const absl::Status status = WriteExitRecord(bundle_, record);
  // The daemon is told all the same; it has its own, durable table.
  if (!status.ok()) Report(Cat("the exit record of container ", id_, ": ", status.message()));
  exit_ = std::make_unique<monitor::ExitRecord>(std::move(record));
}

std::optional<Cgroup> ContainerProcess::ItsCgroup() const {
  if (parts_.cgroups == nullptr || cgroup_path_.empty()) return std::nullopt;
  return Cgroup(*parts_.cgroups, cgroup_path_);
}

absl::Status ContainerProcess::CheckRunning() const {
  if (running()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      Cat("container ", id_, exited() ? " has exited" : " is still starting"));
}

absl::Status ContainerProcess::Signal(int signal, bool all) {
  if (all && !starting()) {
    if (const std::optional<Cgroup> cgroup = ItsCgroup()) return cgroup->Kill(signal);
  }
  RETURN_IF_ERROR(CheckRunning());
  return Annotate(SignalProcess(pidfd_.get(), signal), Cat("signal container ", id_));
}

absl::Status ContainerProcess::ReopenLog() {
  RETURN_IF_ERROR(CheckRunning());
  return Annotate(io_->ReopenLog(), Cat("reopen the log of container ", id_));
}

absl::Status ContainerProcess::Resize(TerminalSize size) {
  RETURN_IF_ERROR(CheckRunning());
  return Annotate(io_->Resize(size), Cat("resize the terminal of container ", id_));
}

absl::Status ContainerProcess::Attach(AttachFanout::Client client) {
  RETURN_IF_ERROR(CheckRunning());
  return Annotate(io_->Attach(std::move(client)), Cat("attach to container ", id_));
}

void ContainerProcess::Kill() {
  if (restore_.has_value()) restore_->Kill();
  if (pidfd_.valid()) {
    [[maybe_unused]] const absl::Status killed = SignalProcess(pidfd_.get(), SIGKILL);
  }
  const std::optional<Cgroup> cgroup = ItsCgroup();
  if (!cgroup.has_value()) return;
  if (const absl::Status status = cgroup->Kill(SIGKILL); !status.ok()) {
    Report(Cat("kill container ", id_, ": ", status.message()));
  }
}

}  // namespace crisp
