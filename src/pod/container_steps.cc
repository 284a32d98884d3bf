#include <signal.h>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

constexpr size_t kMaxExitRecordBytes = 64 << 10;
constexpr absl::Duration kKillAgain =
    absl::Seconds(1);  // between looks at a process that does not die
constexpr absl::Duration kCgroupPatience = absl::Milliseconds(500);

std::string ReasonOf(const monitor::ExitRecord& exit) {
  if (exit.never_ran()) return "StartError";
  if (exit.oom_killed()) return "OOMKilled";
  return exit.exit_code() == 0 ? "Completed" : "Error";
}

bool IsDown(const record::Container& container) { return !MayRun(container); }

monitor::Request SignalRequest(const std::string& id, int signal, bool all) {
  monitor::Request request;
  request.mutable_signal()->set_container_id(id);
  request.mutable_signal()->set_signal(signal);
  request.mutable_signal()->set_all(all);
  return request;
}

}  // namespace

monitor::ExitRecord PodState::UnknownExit(const std::string& id, std::string_view message) {
  monitor::ExitRecord exit;
  exit.set_container_id(id);
  exit.set_exit_code(255);
  exit.set_finished_at(absl::GetCurrentTimeNanos());
  exit.set_message(std::string(message));
  return exit;
}

absl::StatusOr<monitor::ExitRecord> PodState::ReadExit(const record::Container& container) const {
  const std::string path = paths.ExitRecord(container.pod_id(), container.id());
  ASSIGN_OR_RETURN(const std::string data, ReadFile(path, kMaxExitRecordBytes));
  monitor::ExitRecord exit;
  if (!exit.ParseFromString(data) || exit.container_id() != container.id()) {
    return absl::DataLossError(Cat("the exit record ", path, " is damaged"));
  }
  return exit;
}

absl::StatusOr<RunningContainer> PodState::FindRunning(std::string_view id,
                                                       std::string_view consequence) const {
  ASSIGN_OR_RETURN(ContainerPointer container, table.FindContainer(id));
  std::shared_ptr<MonitorClient> monitor = container->pod->monitor();
  if (container->record.Get()->phase() != record::CONTAINER_UP || !monitor) {
    return absl::FailedPreconditionError(
        Cat("container ", container->id, " is not running: ", consequence));
  }
  return RunningContainer{std::move(container), std::move(monitor)};
}

void PodState::NoteExit(const ContainerPointer& container, const monitor::ExitRecord& exit) {
  absl::MutexLock lock(&container->pod->event_mutex);
  const bool noted = container->record.Update([&](record::Container& record) {
    if (!MayRun(record)) return false;
    record.set_phase(record::CONTAINER_DOWN);
    record.set_pid(0);
    record.set_exit_code(exit.exit_code());
    record.set_finished_at(exit.finished_at() != 0 ? exit.finished_at()
                                                   : absl::GetCurrentTimeNanos());
    if (exit.never_ran()) {
      record.set_started_at(0);
    } else if (record.started_at() == 0) {
      record.set_started_at(exit.started_at());
    }
    // Only what nobody saw end comes with 255 and a message.
    const bool unknown = !exit.never_ran() && exit.exit_code() == 255 && !exit.message().empty();
    record.set_reason(unknown ? "Unknown" : ReasonOf(exit));
    record.set_message(exit.message());
    return true;
  });
  if (!noted) return;
  container->meter.End();
  // The exit record on disk is what counts until this is written.
  worker->Post([this, container] {
    if (absl::Status status = Save(*container); !status.ok()) {
      LOG_ERROR("container {}: its exit cannot be written: {}", container->id, status.ToString());
    }
    if (absl::Status status = ClearCgroup(*container->record.Get(), kCgroupPatience);
        !status.ok()) {
      LOG_WARN("container {} ended, but its cgroup is still there: {}", container->id,
               status.ToString());
    }
  });
  Publish(*container->pod, container->id, v1::CONTAINER_STOPPED_EVENT);
}

void PodState::NoteStarted(const ContainerPointer& container, int32_t pid, int64_t started_at) {
  absl::MutexLock lock(&container->pod->event_mutex);
  const bool noted = container->record.Update([&](record::Container& record) {
    if (record.phase() != record::CONTAINER_STARTING) return false;
    record.set_phase(record::CONTAINER_UP);
    record.set_pid(pid);
    record.set_started_at(started_at != 0 ? started_at : absl::GetCurrentTimeNanos());
    return true;
  });
  if (!noted) return;
  SaveLater(container);
  Publish(*container->pod, container->id, v1::CONTAINER_STARTED_EVENT);
}

absl::Status PodState::ClearCgroup(const record::Container& container, absl::Duration patience) {
  if (container.cgroup_path().empty()) return absl::OkStatus();
  const std::string scope = ScopeOf(container.cgroup_path());
  const Cgroup cgroup(*cgroups, scope.empty() ? container.cgroup_path() : scope);
  if (!cgroup.Exists()) return absl::OkStatus();
  RETURN_IF_ERROR(cgroup.Kill(SIGKILL));
  if (!scope.empty()) CloseUnit(BaseName(scope));
  return cgroup.Remove(patience);
}

absl::Status PodState::StopOne(const ContainerPointer& container, absl::Duration grace,
                               const Call& call) {
  // A start under way comes to its end first; the lock is not kept, so nothing waits for a process
  // that does not die.
  {
    ASSIGN_OR_RETURN(OperationLock::Held settled,
                     container->operations.Acquire(call, Cat("container ", container->id)));
  }
  if (IsDown(*container->record.Get())) return absl::OkStatus();
  if (!container->pod->monitor()) {
    // Its monitor is dead and buried; only an interrupted burial leaves this.
    RETURN_IF_ERROR(ClearCgroup(*container->record.Get(), absl::Seconds(5)));
    NoteExit(container, UnknownExit(container->id, "its monitor has ended"));
    return absl::OkStatus();
  }
  container->KillNoLaterThan(absl::Now() + std::max(grace, absl::ZeroDuration()));
  if (grace > absl::ZeroDuration()) {
    RETURN_IF_ERROR(SendStopSignal(container, call));
    absl::StatusOr<bool> down = AwaitGrace(container, call);
    if (!down.ok()) {
      return Annotate(down.status(),
                      Cat("container ", container->id,
                          " still runs and was not killed: its grace period is not over"));
    }
    if (*down) return absl::OkStatus();
  }
  return KillOne(container, call);
}

// Sends the stop signal if no call has done so yet.
absl::Status PodState::SendStopSignal(const ContainerPointer& container, const Call& call) {
  const bool first = container->record.Update([](record::Container& record) {
    if (record.stop_signalled() || !MayRun(record)) return false;
    record.set_stop_signalled(true);
    return true;
  });
  if (!first) return absl::OkStatus();
  RETURN_IF_ERROR(Save(*container));  // a restarted daemon must not send it again
  const std::shared_ptr<MonitorClient> monitor = container->pod->monitor();
  if (!monitor) return absl::OkStatus();
  // A process may be frozen by whoever looks after its cgroup; then no signal would be seen.
  (void)Cgroup(*cgroups, container->record.Get()->cgroup_path()).Thaw();
  const int signal = container->record.Get()->stop_signal_number();
  absl::Status status =
      monitor->Ask(SignalRequest(container->id, signal != 0 ? signal : SIGTERM, false), call)
          .status();
  // It may have ended meanwhile: then its exit tells so.
  if (absl::IsNotFound(status) || absl::IsFailedPrecondition(status) ||
      absl::IsUnavailable(status)) {
    return absl::OkStatus();
  }
  return status;
}

// True: it ended; false: it is time to kill.
absl::StatusOr<bool> PodState::AwaitGrace(const ContainerPointer& container, const Call& call) {
  while (true) {
    const absl::Time until = container->kill_at();
    ASSIGN_OR_RETURN(const bool changed, container->record.Await(
                                             [&](const record::Container& record) {
                                               return IsDown(record) ||
                                                      container->kill_at() < until;
                                             },
                                             until, call));
    if (IsDown(*container->record.Get())) return true;
    if (!changed || absl::Now() >= container->kill_at()) return false;
  }
}

absl::Status PodState::KillOne(const ContainerPointer& container, const Call& call) {
  while (true) {
    const std::shared_ptr<MonitorClient> monitor = container->pod->monitor();
    if (monitor) {
      (void)Cgroup(*cgroups, container->record.Get()->cgroup_path()).Thaw();
      monitor->Send(SignalRequest(container->id, SIGKILL, container->record.Get()->kill_all()), {},
                    [](const MonitorClient::Answer&) {});
    }
    absl::StatusOr<bool> down = container->record.Await(IsDown, absl::Now() + kKillAgain, call);
    if (!down.ok()) {
      return Annotate(down.status(),
                      Cat("container ", container->id, " was killed, but has not ended yet"));
    }
    if (*down) return absl::OkStatus();
    LOG_WARN("container {} was killed {} ago and still runs", container->id,
             absl::FormatDuration(kKillAgain));
    // Should its exit ever have been lost, the record on disk or the monitor's list has it.
    if (absl::StatusOr<monitor::ExitRecord> exit = ReadExit(*container->record.Get()); exit.ok()) {
      NoteExit(container, *exit);
    } else if (monitor && !monitor->gone()) {
      (void)Adopt(container->pod, monitor, call.Within(absl::Seconds(1)));
    }
  }
}

absl::Status PodState::RemoveOne(const ContainerPointer& container, const Call& call) {
  while (true) {
    RETURN_IF_ERROR(StopOne(container, absl::ZeroDuration(), call));
    ASSIGN_OR_RETURN(OperationLock::Held held,
                     container->operations.Acquire(call, Cat("container ", container->id)));
    if (absl::IsNotFound(table.FindContainer(container->id).status())) return absl::OkStatus();
    // It may have been created when it was stopped, and started since.
    if (MayRun(*container->record.Get())) continue;
    return DropContainer(container);
  }
}

absl::Status PodState::DropContainer(const ContainerPointer& container) {
  RETURN_IF_ERROR(SetPhase(*container, record::CONTAINER_REMOVING));
  const ContainerRecord record = container->record.Get();
  RETURN_IF_ERROR(ClearCgroup(*record, kCgroupPatience));
  if (const auto monitor = container->pod->monitor()) {
    monitor::Request forget;
    forget.mutable_forget()->set_container_id(container->id);
    monitor->Send(std::move(forget), {}, [](const MonitorClient::Answer&) {});
  }
  RETURN_IF_ERROR(RemoveTree(paths.Bundle(record->pod_id(), record->id())));
  RETURN_IF_ERROR(trash->Throw(paths.Container(record->id())));
  RETURN_IF_ERROR(images.Release(record->id()));
  RETURN_IF_ERROR(Erase(*container));
  absl::MutexLock lock(&container->pod->event_mutex);
  table.Remove(*container);
  layer_meter.Forget(container->id);
  Publish(*container->pod, container->id, v1::CONTAINER_DELETED_EVENT);
  return absl::OkStatus();
}

}  // namespace crisp
