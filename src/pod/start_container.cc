// StartContainer: one message to the pod's monitor, which does all the rest. The outcome is taken
// over on the watcher's thread, so that it counts even if the caller has gone meanwhile.
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "pod/pod_state.h"
#include "pod/restore_request.h"

namespace crisp {
namespace {

absl::Status CheckStartable(const PodState& state, const ContainerEntry& container) {
  const ContainerRecord record = container.record.Get();
  if (record->phase() != record::CONTAINER_READY) {
    return absl::FailedPreconditionError(
        Cat("container ", container.id, " was started before",
            record->phase() == record::CONTAINER_UP ? " and runs" : "",
            "; a container is started once"));
  }
  if (container.pod->record.Get()->phase() != record::POD_READY) {
    return absl::FailedPreconditionError(Cat("container ", container.id, " cannot be started: pod ",
                                             container.pod->id, " is not ready"));
  }
  if (record->target_id().empty()) return absl::OkStatus();
  // The PID namespace to join is that of a process that may have ended since the creation.
  absl::StatusOr<ContainerPointer> target = state.table.FindContainer(record->target_id());
  if (target.ok()) {
    const ContainerRecord now = (*target)->record.Get();
    if (now->phase() == record::CONTAINER_UP && now->pid() == record->target_pid()) {
      return absl::OkStatus();
    }
  }
  return absl::FailedPreconditionError(Cat("container ", container.id,
                                           " cannot be started: its target container ",
                                           record->target_id(), " does not run any more"));
}

monitor::StartContainer StartMessage(const PodState& state, const record::Container& record) {
  monitor::StartContainer start;
  start.set_container_id(record.id());
  start.set_bundle(state.paths.Bundle(record.pod_id(), record.id()));
  *start.mutable_rootfs()->mutable_lower() = record.layers();
  start.mutable_rootfs()->set_upper(state.paths.Upper(record.id()));
  start.mutable_rootfs()->set_work(state.paths.Work(record.id()));
  // A container is mounted once: after a power cut its writable layer is of no use to anybody, and
  // without this the last unmount would wait for the disk.
  start.mutable_rootfs()->add_options("volatile");
  start.set_log_path(record.log_path());
  start.set_stdin(record.config().stdin());
  start.set_stdin_once(record.config().stdin_once());
  start.set_terminal(record.config().tty());
  start.set_seccomp_bpf(record.seccomp_bpf());
  start.set_log_line_max(state.options.log_line_max);
  start.set_cgroup_path(record.cgroup_path());
  start.set_launcher(record.runtime_path());
  *start.mutable_launcher_args() = record.runtime_args();
  start.set_launcher_sandboxed(record.runtime_sandboxed());
  return start;
}

absl::StatusOr<monitor::Request> RequestFor(PodState& state, const record::Container& record,
                                            const Call& call) {
  monitor::Request request;
  if (!record.has_restore()) {
    *request.mutable_start() = StartMessage(state, record);
    return request;
  }
  ASSIGN_OR_RETURN(*request.mutable_restore(), RestoreMessage(state, record, call));
  *request.mutable_restore()->mutable_start() = StartMessage(state, record);
  return request;
}

// The end of a container that could not be started.
monitor::ExitRecord NeverRan(const std::string& id, const absl::Status& why) {
  monitor::ExitRecord exit;
  exit.set_container_id(id);
  exit.set_exit_code(128);
  exit.set_never_ran(true);
  exit.set_finished_at(absl::GetCurrentTimeNanos());
  exit.set_message(std::string(FromAbsl(why.message())));
  return exit;
}

// They have done their part, and may be as large as the container's memory.
void DropImages(PodState& state, const std::string& id) {
  state.worker->Post([&state, id] {
    if (absl::Status status = state.trash->Throw(state.paths.RestoreImages(id)); !status.ok()) {
      LOG_ERROR("container {}: {}", id, status.ToString());
    }
  });
}

// What the monitor answered, on the watcher's thread.
void TakeAnswer(PodState& state, const ContainerPointer& container,
                const std::shared_ptr<MonitorClient>& client, const MonitorClient::Answer& answer) {
  if (answer.ok()) {
    state.NoteStarted(container, answer->pid(), answer->started_at());
    if (container->record.Get()->has_restore()) DropImages(state, container->id);
    return;
  }
  if (absl::IsUnavailable(answer.status())) {
    // Never asked: it stays as it was. If the monitor died, its burial decides.
    if (!client->gone()) {
      container->record.Update([](record::Container& record) {
        if (record.phase() != record::CONTAINER_STARTING) return false;
        record.set_phase(record::CONTAINER_READY);
        return true;
      });
      state.SaveLater(container);
    }
    return;
  }
  state.NoteExit(container, NeverRan(container->id, answer.status()));
}

}  // namespace

absl::StatusOr<v1::StartContainerResponse> PodRuntime::StartContainer(
    const v1::StartContainerRequest& request, const Call& call) {
  PodState& state = *state_;
  ASSIGN_OR_RETURN(const ContainerPointer container,
                   state.table.FindContainer(request.container_id()));
  ASSIGN_OR_RETURN(OperationLock::Held held,
                   container->operations.Acquire(call, Cat("container ", container->id)));
  RETURN_IF_ERROR(CheckStartable(state, *container));
  RETURN_IF_ERROR(call.Check());
  const std::shared_ptr<MonitorClient> client = container->pod->monitor();
  if (!client || client->gone()) {
    return absl::UnavailableError(Cat("container ", container->id,
                                      " cannot be started: the monitor of pod ", container->pod->id,
                                      " has ended"));
  }
  ASSIGN_OR_RETURN(monitor::Request start, RequestFor(state, *container->record.Get(), call));
  RETURN_IF_ERROR(state.SetPhase(*container, record::CONTAINER_STARTING));
  if (absl::Status status = state.OpenScope(*container, call); !status.ok()) {
    state.NoteExit(container, NeverRan(container->id, status));
    return Annotate(status, Cat("container ", container->id, " could not be started"));
  }
  container->answered = false;
  auto failure = std::make_shared<absl::Status>();
  client->Send(std::move(start), {},
               [&state, container, client, failure](const MonitorClient::Answer& answer) {
                 *failure = answer.status();  // before the record changes: who waits reads it then
                 TakeAnswer(state, container, client, answer);
                 container->answered.store(true, std::memory_order_release);
                 container->record.Wake();
               });
  absl::StatusOr<bool> answered = container->record.Await(
      [&](const record::Container&) { return container->answered.load(std::memory_order_acquire); },
      absl::InfiniteFuture(), call);
  if (!answered.ok()) {
    return Annotate(answered.status(), Cat("container ", container->id, " is still being started"));
  }
  if (!failure->ok()) {
    return Annotate(*failure, Cat("container ", container->id, " could not be started"));
  }
  return v1::StartContainerResponse();
}

}  // namespace crisp
