// PodMonitor's part for execs.
#include <signal.h>

#include "base/status.h"
#include "monitor/clock.h"
#include "monitor/pod_monitor.h"

namespace crisp {
namespace {

// As the bound on containers.
constexpr size_t kMaxExecs = 200;
constexpr size_t kMaxLingering = 64;

}  // namespace

absl::StatusOr<ContainerProcess*> PodMonitor::CheckExec(const monitor::Exec& request) {
  RETURN_IF_ERROR(CheckId(request.exec_id(), "exec"));
  ASSIGN_OR_RETURN(ContainerProcess * container, Find(request.container_id()));
  if (shutting_down_) return absl::UnavailableError("the pod is shutting down");
  if (!container->running()) {
    return absl::FailedPreconditionError(
        Cat("container ", container->id(), " does not run: no exec in it"));
  }
  if (execs_.contains({request.container_id(), request.exec_id()})) {
    return absl::AlreadyExistsError(
        Cat("container ", container->id(), " has an exec ", request.exec_id(), " already"));
  }
  if (execs_.size() >= kMaxExecs) {
    return absl::ResourceExhaustedError(Cat("the pod has ", kMaxExecs, " execs already"));
  }
  return container;
}

void PodMonitor::Exec(const Caller& caller, const monitor::Exec& request,
                      std::vector<UniqueFd> descriptors) {
  const absl::StatusOr<ContainerProcess*> container = CheckExec(request);
  if (!container.ok()) return Answer(caller, container.status());
  const ExecKey key{request.container_id(), request.exec_id()};
  std::unique_ptr<ExecProcess>& exec = execs_[key];
  exec = std::make_unique<ExecProcess>(parts_, request, caller.connection);
  ExecProcess::Callbacks callbacks;
  callbacks.started = [this, caller, key](const absl::Status& status, UniqueFd terminal) {
    ExecStartEnded(caller, key, status, std::move(terminal));
  };
  callbacks.exited = [this, key](int exit_code) { ExecEnded(key, exit_code); };
  const absl::Status status =
      exec->Start(request, **container, std::move(descriptors), std::move(callbacks));
  if (!status.ok()) ExecStartEnded(caller, key, status, UniqueFd());
}

// Keys come by value where the exec goes: they may be part of it.
void PodMonitor::ExecStartEnded(const Caller& caller, const ExecKey& key,
                                const absl::Status& status, UniqueFd terminal) {
  if (!status.ok()) {
    const auto ended = execs_.extract(key);
    return Answer(caller, status);
  }
  monitor::Reply reply;
  reply.set_pid(execs_.at(key)->pid());
  Answer(caller, std::move(reply), std::move(terminal));
}

void PodMonitor::ExecEnded(const ExecKey& key, int exit_code) {
  const auto ended = execs_.extract(key);
  monitor::Packet event;
  monitor::ExecExited& exited = *event.mutable_exec_exited();
  exited.set_container_id(ended.key().first);
  exited.set_exec_id(ended.key().second);
  exited.set_exit_code(exit_code);
  exited.set_finished_at(UnixNanos());
  outlets_.event(event);
  RemoveExecCgroups(ended.key());
}

// What an exec left running keeps its sub-cgroup; such ones are tried again when the next exec
// ends, and the last go with the container's cgroup.
void PodMonitor::RemoveExecCgroups(const ExecKey& ended) {
  lingering_.push_back(ended);
  if (lingering_.size() > kMaxLingering) lingering_.erase(lingering_.begin());
  std::erase_if(lingering_, [this](const ExecKey& key) {
    const auto container = containers_.find(key.first);
    if (container == containers_.end()) return true;
    const std::optional<Cgroup> cgroup = container->second->ItsCgroup();
    return !cgroup.has_value() || cgroup->ForExec(key.second).Remove(absl::ZeroDuration()).ok();
  });
}

absl::Status PodMonitor::KillExec(const monitor::KillExec& request) {
  RETURN_IF_ERROR(CheckId(request.exec_id(), "exec"));
  const auto exec = execs_.find({request.container_id(), request.exec_id()});
  if (exec != execs_.end()) {
    exec->second->Kill();
    return absl::OkStatus();
  }
  // Its process has ended, but what it started may still be there.
  ASSIGN_OR_RETURN(ContainerProcess * container, Find(request.container_id()));
  if (const std::optional<Cgroup> cgroup = container->ItsCgroup()) {
    const Cgroup its_own = cgroup->ForExec(request.exec_id());
    if (its_own.Exists()) return its_own.Kill(SIGKILL);
  }
  return absl::NotFoundError(
      Cat("container ", request.container_id(), " has no exec ", request.exec_id()));
}

}  // namespace crisp
