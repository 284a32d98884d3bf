#include "monitor/pod_monitor.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "base/status.h"
#include "monitor/attach_request.h"
#include "monitor/clock.h"
#include "monitor/monitor_log.h"

namespace crisp {
namespace {

// Bounds on what a daemon gone wrong can make the monitor remember. With all of them reached, the
// answer to Hello still fits into one packet.
constexpr size_t kMaxContainers = 400;
constexpr size_t kMaxLogLineBytes = 1 << 20;
constexpr int kMaxSignal = 64;

constexpr absl::Duration kKillAgain = absl::Milliseconds(200);
constexpr absl::Duration kKillPatience = absl::Seconds(10);

bool IsAbsolute(const std::string& path) {
  return !path.empty() && path.front() == '/' && path.find('\0') == std::string::npos;
}

}  // namespace

absl::Status PodMonitor::CheckId(std::string_view id, std::string_view what) {
  constexpr size_t kMaxIdBytes = 80;
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  if (!id.empty() && id.size() <= kMaxIdBytes && id.front() != '.' &&
      id.find_first_not_of(kAllowed) == std::string_view::npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      Cat("the ", what, " id must be 1 to ", kMaxIdBytes, " letters, digits, '_', '-' or '.'"));
}

PodMonitor::PodMonitor(const MonitorParts& parts, Identity identity, Outlets outlets)
    : parts_(parts), identity_(std::move(identity)), outlets_(std::move(outlets)) {}

PodMonitor::~PodMonitor() = default;

void PodMonitor::Handle(uint64_t connection, const monitor::Request& request,
                        std::vector<UniqueFd> descriptors) {
  const Caller caller{connection, request.id()};
  switch (request.verb_case()) {
    case monitor::Request::kHello:
      return Hello(caller, request.hello());
    case monitor::Request::kStart:
      return Start(caller, request.start());
    case monitor::Request::kRestore:
      return Restore(caller, request.restore());
    case monitor::Request::kSignal:
      return Answer(caller, Signal(request.signal()));
    case monitor::Request::kExec:
      return Exec(caller, request.exec(), std::move(descriptors));
    case monitor::Request::kKillExec:
      return Answer(caller, KillExec(request.kill_exec()));
    case monitor::Request::kReopenLog:
      return Answer(caller, Reopen(request.reopen_log()));
    case monitor::Request::kList: {
      monitor::Reply reply;
      FillState(reply);
      return Answer(caller, std::move(reply));
    }
    case monitor::Request::kForget:
      return Answer(caller, Forget(request.forget()));
    case monitor::Request::kResize:
      return Answer(caller, Resize(request.resize()));
    case monitor::Request::kAttach:
      return Answer(caller, Attach(request.attach(), std::move(descriptors)));
    case monitor::Request::kShutdown:
      shutdown_callers_.push_back(caller);
      return ShutDown();
    case monitor::Request::VERB_NOT_SET:
      break;
  }
  Answer(caller, absl::UnimplementedError("the request holds no verb that this monitor knows"));
}

void PodMonitor::Answer(const Caller& caller, const absl::Status& status) {
  monitor::Reply reply;
  reply.set_code(static_cast<int>(status.code()));
  reply.set_message(std::string(FromAbsl(status.message())));
  Answer(caller, std::move(reply));
}

void PodMonitor::Answer(const Caller& caller, monitor::Reply reply, UniqueFd descriptor) {
  reply.set_id(caller.request);
  outlets_.reply(caller.connection, reply, std::move(descriptor));
}

absl::StatusOr<ContainerProcess*> PodMonitor::Find(const std::string& container_id) {
  const auto found = containers_.find(container_id);
  if (found != containers_.end()) return found->second.get();
  RETURN_IF_ERROR(CheckId(container_id, "container"));
  return absl::NotFoundError(Cat("the monitor knows no container ", container_id));
}

void PodMonitor::Hello(const Caller& caller, const monitor::Hello& request) {
  if (request.protocol() != kMonitorProtocol) {
    return Answer(
        caller, absl::FailedPreconditionError(Cat("the monitor speaks protocol ", kMonitorProtocol,
                                                  ", not ", request.protocol(),
                                                  "; its pod must be stopped by the crispd that "
                                                  "started it or an equally old one")));
  }
  monitor::Reply reply;
  reply.set_protocol(kMonitorProtocol);
  reply.set_pid(identity_.init_pid);
  reply.set_monitor_pid(getpid());
  reply.set_pod_id(identity_.pod_id);
  FillState(reply);
  Answer(caller, std::move(reply));
}

void PodMonitor::FillState(monitor::Reply& reply) const {
  for (const auto& [id, container] : containers_) {
    monitor::ContainerState& state = *reply.add_containers();
    state.set_container_id(id);
    state.set_pid(container->pid());
    state.set_started_at(container->started_at());
    state.set_starting(container->starting());
    state.set_exited(container->exited());
    if (container->exited()) *state.mutable_exit() = container->exit();
  }
  for (const auto& [key, exec] : execs_) {
    monitor::ExecState& state = *reply.add_execs();
    state.set_container_id(exec->container_id());
    state.set_exec_id(exec->id());
    if (!exec->starting()) state.set_pid(exec->pid());
  }
}

absl::Status PodMonitor::CheckStart(const monitor::StartContainer& request) const {
  const std::string& id = request.container_id();
  RETURN_IF_ERROR(CheckId(id, "container"));
  if (shutting_down_) return absl::UnavailableError("the pod is shutting down");
  if (containers_.contains(id)) {
    return absl::AlreadyExistsError(Cat("container ", id, " was started before"));
  }
  if (containers_.size() >= kMaxContainers) {
    return absl::ResourceExhaustedError(Cat("the pod has ", kMaxContainers, " containers already"));
  }
  if (!IsAbsolute(request.bundle())) {
    return absl::InvalidArgumentError(Cat("the bundle of container ", id, " is no absolute path"));
  }
  if (!request.log_path().empty() && !IsAbsolute(request.log_path())) {
    return absl::InvalidArgumentError(
        Cat("the log path of container ", id, " is no absolute path"));
  }
  if (request.log_line_max() > kMaxLogLineBytes) {
    return absl::InvalidArgumentError(
        Cat("log_line_max of container ", id, " exceeds ", kMaxLogLineBytes, " bytes"));
  }
  if (!request.launcher().empty() && !IsAbsolute(request.launcher())) {
    return absl::InvalidArgumentError(
        Cat("the launcher ", request.launcher(), " of container ", id, " is no absolute path"));
  }
  return absl::OkStatus();
}

std::pair<ContainerProcess*, ContainerProcess::Callbacks> PodMonitor::NewContainer(
    const Caller& caller, const monitor::StartContainer& request) {
  const auto [place, added] = containers_.emplace(
      request.container_id(), std::make_unique<ContainerProcess>(parts_, request));
  ContainerProcess* const container = place->second.get();
  ContainerProcess::Callbacks callbacks;
  callbacks.started = [this, caller, container](const absl::Status& status) {
    StartEnded(caller, *container, status);
  };
  callbacks.exited = [this, container] {
    SendExit(*container);
    CheckShutDown();
  };
  return {container, std::move(callbacks)};
}

void PodMonitor::Start(const Caller& caller, const monitor::StartContainer& request) {
  if (const absl::Status status = CheckStart(request); !status.ok()) {
    return Answer(caller, status);
  }
  auto [container, callbacks] = NewContainer(caller, request);
  const absl::Status status = container->Start(request, std::move(callbacks));
  if (!status.ok()) StartEnded(caller, *container, status);
}

void PodMonitor::Restore(const Caller& caller, const monitor::RestoreContainer& request) {
  absl::Status status = CheckStart(request.start());
  for (const std::string* path : {&request.criu(), &request.images(), &request.work()}) {
    if (status.ok() && !IsAbsolute(*path)) {
      status =
          absl::InvalidArgumentError(Cat("restore of container ", request.start().container_id(),
                                         ": \"", *path, "\" is no absolute path"));
    }
  }
  if (!status.ok()) return Answer(caller, status);
  auto [container, callbacks] = NewContainer(caller, request.start());
  status = container->Restore(request, std::move(callbacks));
  if (!status.ok()) StartEnded(caller, *container, status);
}

void PodMonitor::StartEnded(const Caller& caller, ContainerProcess& container,
                            const absl::Status& status) {
  if (!status.ok()) {
    Answer(caller, status);
    SendExit(container);
    return CheckShutDown();
  }
  monitor::Packet event;
  monitor::ContainerStarted& started = *event.mutable_container_started();
  started.set_container_id(container.id());
  started.set_pid(container.pid());
  started.set_started_at(container.started_at());
  outlets_.event(event);
  monitor::Reply reply;
  reply.set_pid(container.pid());
  reply.set_started_at(container.started_at());
  Answer(caller, std::move(reply));
}

void PodMonitor::SendExit(const ContainerProcess& container) {
  monitor::Packet event;
  *event.mutable_container_exited()->mutable_exit() = container.exit();
  outlets_.event(event);
}

absl::Status PodMonitor::Signal(const monitor::SignalContainer& request) {
  ASSIGN_OR_RETURN(ContainerProcess * container, Find(request.container_id()));
  if (request.signal() < 1 || request.signal() > kMaxSignal) {
    return absl::InvalidArgumentError(Cat("there is no signal ", request.signal()));
  }
  return container->Signal(request.signal(), request.all());
}

absl::Status PodMonitor::Attach(const monitor::Attach& request, std::vector<UniqueFd> descriptors) {
  RETURN_IF_ERROR(CheckId(request.attach_id(), "attachment"));
  ASSIGN_OR_RETURN(ContainerProcess * container, Find(request.container_id()));
  ASSIGN_OR_RETURN(AttachFanout::Client client, AttachClient(request, std::move(descriptors)));
  client.ended = [this, container_id = container->id(), id = client.id](std::string_view why) {
    monitor::Packet event;
    monitor::AttachEnded& ended = *event.mutable_attach_ended();
    ended.set_container_id(container_id);
    ended.set_attach_id(id);
    ended.set_message(std::string(why));
    outlets_.event(event);
  };
  return container->Attach(std::move(client));
}

absl::Status PodMonitor::Reopen(const monitor::ReopenLog& request) {
  ASSIGN_OR_RETURN(ContainerProcess * container, Find(request.container_id()));
  return container->ReopenLog();
}

absl::Status PodMonitor::Forget(const monitor::ForgetContainer& request) {
  ASSIGN_OR_RETURN(ContainerProcess * container, Find(request.container_id()));
  if (!container->exited()) {
    return absl::FailedPreconditionError(
        Cat("container ", container->id(), " has not exited: it cannot be forgotten"));
  }
  containers_.erase(request.container_id());
  return absl::OkStatus();
}

absl::Status PodMonitor::Resize(const monitor::ResizeTerminal& request) {
  ASSIGN_OR_RETURN(ContainerProcess * container, Find(request.container_id()));
  constexpr uint32_t kMaxSize = std::numeric_limits<uint16_t>::max();
  if (request.width() == 0 || request.height() == 0 || request.width() > kMaxSize ||
      request.height() > kMaxSize) {
    return absl::InvalidArgumentError(
        Cat("a terminal cannot be ", request.width(), " x ", request.height()));
  }
  return container->Resize(
      {static_cast<uint16_t>(request.width()), static_cast<uint16_t>(request.height())});
}

void PodMonitor::ConnectionClosed(uint64_t connection) {
  for (const auto& [key, exec] : execs_) {
    if (exec->connection() == connection) exec->Kill();
  }
}

void PodMonitor::ShutDown() {
  if (!shutting_down_) {
    shutting_down_ = true;
    parts_.loop.After(kKillPatience, [this] { GiveUp(); });
    KillAll();
  }
  CheckShutDown();
}

void PodMonitor::KillAll() {
  if (ended_) return;
  for (const auto& [key, exec] : execs_) exec->Kill();
  for (const auto& [id, container] : containers_) {
    if (!container->exited()) container->Kill();
  }
  // Again, for a process that was just being made.
  parts_.loop.After(kKillAgain, [this] { KillAll(); });
}

void PodMonitor::GiveUp() {
  for (const auto& [id, container] : containers_) {
    if (container->exited()) continue;
    Report(Cat("container ", id, " was killed and did not die: giving it up"));
    container->GiveUp();
    SendExit(*container);
  }
  CheckShutDown();
}

void PodMonitor::CheckShutDown() {
  if (!shutting_down_ || ended_) return;
  for (const auto& [id, container] : containers_) {
    if (!container->exited()) return;
  }
  ended_ = true;
  for (const Caller& caller : shutdown_callers_) Answer(caller, absl::OkStatus());
  outlets_.ended();
}

}  // namespace crisp
