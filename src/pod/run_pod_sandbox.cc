// RunPodSandbox: the journal entry first, then everything that the pod owns outside this process;
// what takes long runs side by side (the monitor starts up while the network is made). Any failure
// rolls all of it back.
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"
#include "kernel/namespace.h"
#include "kernel/packet_socket.h"
#include "oci/spec.h"
#include "oci/sysctl.h"
#include "oci/systemd_slice.h"
#include "oci/validate.h"
#include "pod/pod_files.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

using google::protobuf::util::MessageDifferencer;

constexpr absl::Duration kMonitorStart = absl::Seconds(10);
constexpr absl::Duration kRollBack = absl::Seconds(30);

absl::Status CheckRequest(const v1::RunPodSandboxRequest& request, const RuntimeHandlers& handlers,
                          const DaemonLimits& limits) {
  const v1::PodSandboxMetadata& metadata = request.config().metadata();
  if (metadata.name().empty() || metadata.namespace_().empty() || metadata.uid().empty()) {
    return absl::InvalidArgumentError(
        Cat("config.metadata needs name, namespace and uid; it is {name: \"", metadata.name(),
            "\", namespace: \"", metadata.namespace_(), "\", uid: \"", metadata.uid(), "\"}"));
  }
  const absl::StatusOr<RuntimeHandler> handler = handlers.Find(request.runtime_handler());
  if (!handler.ok()) {
    return absl::InvalidArgumentError(Cat("pod ", metadata.namespace_(), "/", metadata.name(), ": ",
                                          FromAbsl(handler.status().message())));
  }
  RETURN_IF_ERROR(ValidatePodConfig(request.config()));
  if (UserNamespaceOf(request.config()).empty()) return absl::OkStatus();
  if (handler->sandboxed) {
    return absl::FailedPreconditionError(
        Cat("pod ", metadata.namespace_(), "/", metadata.name(),
            " asks for a user namespace, which its runtime handler \"", handler->name,
            "\" cannot give: its containers have a kernel of their own"));
  }
  return limits.user_namespaces;
}

// One RunPodSandbox under way.
class PodSetup {
 public:
  PodSetup(PodState& state, PodPointer pod)
      : state_(state),
        pod_(std::move(pod)),
        shares_pids_(SharesPids(pod_->record.Get()->config())) {}

  absl::Status Run(const Call& call) {
    RETURN_IF_ERROR(MakeFolders(state_.paths.Bundles(pod_->id), 0711));
    // A pod's own init holds the pod's namespaces, so they must exist first; else both go on at
    // once.
    if (!shares_pids_) RETURN_IF_ERROR(StartMonitor());
    RETURN_IF_ERROR(Pin());
    if (shares_pids_) RETURN_IF_ERROR(StartMonitor());
    if (!HostIpc(*pod_->record.Get())) {
      RETURN_IF_ERROR(
          MountShm(state_.paths.Shm(pod_->id), state_.options.shm_bytes, *pod_->record.Get()));
    }
    RETURN_IF_ERROR(JoinNetwork(call));
    RETURN_IF_ERROR(WritePodFiles(state_.paths, *pod_->record.Get()));
    return AwaitMonitor(call);
  }

  // For a roll-back while the monitor was not connected yet.
  void KillMonitor() {
    if (!pod_->monitor() && client_) {
      client_->Kill();
      client_->Close();
    }
  }

 private:
  absl::Status StartMonitor() {
    RETURN_IF_ERROR(state_.monitor_error);
    const std::string path = state_.paths.MonitorSocket(pod_->id);
    ASSIGN_OR_RETURN(UniqueFd listener, ListenForPackets(path));
    std::vector<std::string> options;
    if (shares_pids_) {
      options.push_back("--pod-init");
      const PodRecord record = pod_->record.Get();
      if (!HostNetwork(*record)) {
        options.insert(options.end(), {"--netns", state_.paths.Netns(pod_->id)});
        options.insert(options.end(), {"--utsns", state_.paths.Uts(pod_->id)});
      }
      if (!HostIpc(*record)) options.insert(options.end(), {"--ipcns", state_.paths.Ipc(pod_->id)});
      if (!UserNamespaceOf(record->config()).empty()) {
        options.insert(options.end(), {"--userns", state_.paths.User(pod_->id)});
      }
    }
    ASSIGN_OR_RETURN(SpawnedMonitor monitor,
                     state_.monitor_program->Spawn(pod_->id, listener.get(), options));
    // The listener's backlog takes the connection and the Hello before the monitor has come up.
    ASSIGN_OR_RETURN(client_, state_.Connect(pod_->id, std::move(monitor.pidfd)));
    monitor::Request hello;
    hello.mutable_hello()->set_protocol(1);
    client_->Send(std::move(hello), {}, [waiting = hello_](MonitorClient::Answer answer) {
      absl::MutexLock lock(&waiting->mutex);
      waiting->answer = std::move(answer);
      waiting->came.SignalAll();
    });
    return absl::OkStatus();
  }

  absl::Status Pin() {
    const PodRecord record = pod_->record.Get();
    std::vector<PinRequest> pins;
    ASSIGN_OR_RETURN(const auto sysctls, BuildPodSysctls(record->config()));
    if (!HostNetwork(*record)) {
      pins.push_back({NamespaceKind::kNetwork, state_.paths.Netns(pod_->id)});
      pins.push_back({NamespaceKind::kUts, state_.paths.Uts(pod_->id)});
    }
    if (!HostIpc(*record)) pins.push_back({NamespaceKind::kIpc, state_.paths.Ipc(pod_->id)});
    std::optional<OwnerRequest> owner;
    if (IdMaps maps = UserNamespaceOf(record->config()); !maps.empty()) {
      owner = OwnerRequest{state_.paths.User(pod_->id), std::move(maps)};
    }
    return PinNamespaces(pins, record->hostname(), sysctls, owner);
  }

  absl::Status JoinNetwork(const Call& call) {
    const PodRecord record = pod_->record.Get();
    if (record->network_kind().empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(Network * network, state_.networks.ByKind(record->network_kind()));
    ASSIGN_OR_RETURN(const PodNetworkResult result,
                     network->Add(state_.NetworkRequest(*record), call));
    pod_->record.Update([&](record::Pod& record) {
      record.set_network_json(result.state_json);
      for (const std::string& ip : result.ips) record.add_ips(ip);
      return true;
    });
    if (result.ips.empty()) {
      return absl::InternalError(Cat("the network gave pod ", pod_->id, " no address"));
    }
    return absl::OkStatus();
  }

  absl::Status AwaitMonitor(const Call& call) {
    const Call limited = call.Within(kMonitorStart);
    while (true) {
      {
        absl::MutexLock lock(&hello_->mutex);
        const absl::Time poll = std::min(limited.deadline, absl::Now() + kCancelPoll);
        while (!hello_->answer && !hello_->came.WaitWithDeadline(&hello_->mutex, poll)) {
        }
        if (hello_->answer) break;
      }
      if (absl::Status status = limited.Check(); !status.ok()) {
        return Annotate(status, Cat("pod ", pod_->id, ": waiting for its monitor to come up"));
      }
    }
    absl::MutexLock lock(&hello_->mutex);
    if (!hello_->answer->ok()) {
      return absl::InternalError(Cat("pod ", pod_->id, ": its monitor could not be started: ",
                                     FromAbsl(hello_->answer->status().message())));
    }
    if (shares_pids_ && (*hello_->answer)->pid() == 0) {
      return absl::InternalError(Cat("pod ", pod_->id, ": its monitor has made no init"));
    }
    state_.TakeHello(pod_, *client_, **hello_->answer);
    pod_->set_monitor(client_);
    return absl::OkStatus();
  }

  struct Hello {
    absl::Mutex mutex;
    absl::CondVar came;
    std::optional<MonitorClient::Answer> answer;
  };

  PodState& state_;
  const PodPointer pod_;
  const bool shares_pids_;
  std::shared_ptr<MonitorClient> client_;
  std::shared_ptr<Hello> hello_ = std::make_shared<Hello>();
};

record::Pod NewRecord(const PodState& state, const v1::RunPodSandboxRequest& request) {
  record::Pod record;
  record.set_id(RandomId());
  record.set_phase(record::POD_CREATING);
  record.set_created_at(absl::GetCurrentTimeNanos());
  *record.mutable_config() = request.config();
  record.set_runtime_handler(request.runtime_handler());
  // The default may be another one after a restart; a pod keeps its own.
  record.set_handler(request.runtime_handler().empty() ? state.handlers->default_name()
                                                       : request.runtime_handler());
  record.set_boot_id(state.boot_id);
  const bool own_name = !HostNetwork(record) && !request.config().hostname().empty();
  record.set_hostname(own_name ? request.config().hostname() : NodeName());
  return record;
}

// Its containers share a level that no other pod has, unless the client chose one.
absl::Status TakeSelinuxLevel(PodState& state, PodEntry& pod) {
  if (!state.limits.selinux) return absl::OkStatus();
  std::string level =
      pod.record.Get()->config().linux().security_context().selinux_options().level();
  if (level.empty()) {
    ASSIGN_OR_RETURN(level, state.selinux_levels.Take());
  } else {
    state.selinux_levels.Keep(level);
  }
  pod.record.Update([&](record::Pod& record) {
    record.set_selinux_level(level);
    return true;
  });
  return absl::OkStatus();
}

// Undoes a setup that failed. What cannot be undone stays listed, not ready, so that the client
// tries again.
void RollBack(PodState& state, const PodPointer& pod) {
  absl::Status status = state.Dismantle(pod, Call{}.Within(kRollBack));
  if (status.ok()) status = state.DropPod(pod);
  if (status.ok()) return;
  LOG_ERROR("pod {} failed to start and cannot be cleaned up, it stays listed: {}", pod->id,
            status.ToString());
  if (absl::Status saved = state.SetPhase(*pod, record::POD_STOPPING); !saved.ok()) {
    LOG_ERROR("pod {}: {}", pod->id, saved.ToString());
  }
  state.table.Add(pod);
}

}  // namespace

absl::StatusOr<v1::RunPodSandboxResponse> PodRuntime::RunPodSandbox(
    const v1::RunPodSandboxRequest& request, const Call& call) {
  PodState& state = *state_;
  RETURN_IF_ERROR(CheckRequest(request, *state.handlers, state.limits));
  // Before anything is made: kubelet must learn that its driver is another one.
  if (state.systemd_cgroups) RETURN_IF_ERROR(PodSlice(request.config(), "").status());
  RETURN_IF_ERROR(call.Check());
  RETURN_IF_ERROR(state.monitor_error);
  const std::string name = PodName(request.config().metadata());
  ASSIGN_OR_RETURN(NameLocks::Held reserved, state.pod_names.Acquire(name, call));
  v1::RunPodSandboxResponse response;
  if (const PodPointer existing = state.table.PodNamed(name)) {
    const PodRecord record = existing->record.Get();
    // The answer to an earlier request may have been lost on the way.
    if (record->phase() == record::POD_READY &&
        record->runtime_handler() == request.runtime_handler() &&
        MessageDifferencer::Equals(record->config(), request.config())) {
      response.set_pod_sandbox_id(existing->id);
      return response;
    }
    return absl::AlreadyExistsError(Cat(
        "pod ", request.config().metadata().namespace_(), "/", request.config().metadata().name(),
        " (name ", name, ") exists already with id ", existing->id,
        record->phase() == record::POD_READY ? " and another configuration" : " and is stopped",
        "; remove it or raise metadata.attempt"));
  }

  auto pod = std::make_shared<PodEntry>(NewRecord(state, request));
  RETURN_IF_ERROR(TakeSelinuxLevel(state, *pod));
  if (!HostNetwork(*pod->record.Get())) {
    const std::string kind(state.networks.Current()->kind());
    pod->record.Update([&](record::Pod& record) {
      record.set_network_kind(kind);
      return true;
    });
  }
  RETURN_IF_ERROR(state.Save(*pod));
  PodSetup setup(state, pod);
  absl::Status status = setup.Run(call);
  if (status.ok()) status = state.SetPhase(*pod, record::POD_READY);
  if (!status.ok()) {
    setup.KillMonitor();
    RollBack(state, pod);
    return Annotate(status, Cat("pod ", request.config().metadata().namespace_(), "/",
                                request.config().metadata().name()));
  }
  {
    absl::MutexLock lock(&pod->event_mutex);
    state.table.Add(pod);
    state.Publish(*pod, pod->id, v1::CONTAINER_CREATED_EVENT);
    state.Publish(*pod, pod->id, v1::CONTAINER_STARTED_EVENT);
  }
  if (pod->monitor()->gone()) state.MonitorGone(pod->monitor());
  response.set_pod_sandbox_id(pod->id);
  return response;
}

}  // namespace crisp
