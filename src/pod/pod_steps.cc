#include <signal.h>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "kernel/namespace.h"
#include "kernel/packet_socket.h"
#include "pod/image_volumes.h"
#include "pod/pidfd.h"
#include "pod/pod_files.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

constexpr absl::Duration kMonitorPatience = absl::Seconds(5);  // to end after a Shutdown
constexpr absl::Duration kCgroupPatience = absl::Seconds(5);

std::string ProtocolName(v1::Protocol protocol) {
  switch (protocol) {
    case v1::UDP:
      return "udp";
    case v1::SCTP:
      return "sctp";
    default:
      return "tcp";
  }
}

}  // namespace

PodNetworkRequest PodState::NetworkRequest(const record::Pod& pod) const {
  PodNetworkRequest request;
  request.pod_id = pod.id();
  request.name = pod.config().metadata().name();
  request.ns = pod.config().metadata().namespace_();
  request.uid = pod.config().metadata().uid();
  request.netns_path = paths.Netns(pod.id());
  for (const v1::PortMapping& port : pod.config().port_mappings()) {
    if (port.host_port() <= 0) continue;
    request.ports.push_back(
        {ProtocolName(port.protocol()), port.container_port(), port.host_port(), port.host_ip()});
  }
  for (const auto& [key, value] : pod.config().annotations()) request.annotations[key] = value;
  if (pod.config().has_dns_config()) {
    const v1::DNSConfig& dns = pod.config().dns_config();
    request.dns = {
        {"servers", std::vector<std::string>(dns.servers().begin(), dns.servers().end())},
        {"searches", std::vector<std::string>(dns.searches().begin(), dns.searches().end())},
        {"options", std::vector<std::string>(dns.options().begin(), dns.options().end())}};
  }
  request.cgroup_parent = pod.config().linux().cgroup_parent();
  return request;
}

absl::Status PodState::StopContainersOf(const PodPointer& pod, const Call& call) {
  const std::vector<ContainerPointer> containers = table.ContainersOf(pod->id);
  // All get their signal before any is waited for.
  const std::shared_ptr<MonitorClient> monitor = pod->monitor();
  for (const ContainerPointer& container : containers) {
    const ContainerRecord record = container->record.Get();
    if (record->phase() != record::CONTAINER_UP || !monitor) continue;
    monitor::Request request;
    request.mutable_signal()->set_container_id(container->id);
    request.mutable_signal()->set_signal(SIGKILL);
    request.mutable_signal()->set_all(record->kill_all());
    monitor->Send(std::move(request), {}, [](const MonitorClient::Answer&) {});
  }
  absl::Status first;
  for (const ContainerPointer& container : containers) {
    Keep(first, StopOne(container, absl::ZeroDuration(), call));
  }
  return first;
}

absl::Status PodState::TearDownNetwork(const PodPointer& pod, const Call& call) {
  const PodRecord record = pod->record.Get();
  if (record->network_kind().empty() || record->network_torn_down()) return absl::OkStatus();
  ASSIGN_OR_RETURN(Network * network, networks.ByKind(record->network_kind()));
  if (absl::Status status = network->Del(NetworkRequest(*record), record->network_json(), call);
      !status.ok()) {
    return Annotate(status, Cat("taking down the network of pod ", pod->id));
  }
  pod->record.Update([](record::Pod& record) {
    record.set_network_torn_down(true);
    return true;
  });
  return absl::OkStatus();
}

absl::Status PodState::EndMonitor(const PodPointer& pod) {
  const std::shared_ptr<MonitorClient> monitor = pod->monitor();
  if (!monitor) return absl::OkStatus();
  if (!monitor->AwaitGone(absl::Now() + kMonitorPatience)) {
    LOG_WARN("pod {}: its monitor does not end by itself and is killed", pod->id);
    monitor->Kill();
    monitor->Close();
  }
  pod->set_monitor(nullptr);
  return absl::OkStatus();
}

absl::Status PodState::Dismantle(const PodPointer& pod, const Call& call) {
  RETURN_IF_ERROR(StopContainersOf(pod, call));
  // The monitor ends while the network is taken down.
  if (const std::shared_ptr<MonitorClient> monitor = pod->monitor()) {
    monitor::Request request;
    request.mutable_shutdown();
    monitor->Send(std::move(request), {}, [](const MonitorClient::Answer&) {});
  }
  pod->meter.End();
  absl::Status first = TearDownNetwork(pod, call);
  // After a failed network teardown its namespace stays, so that the next try finds it.
  if (first.ok()) Keep(first, UnpinNamespace(paths.Netns(pod->id)));
  Keep(first, UnpinNamespace(paths.Ipc(pod->id)));
  Keep(first, UnpinNamespace(paths.Uts(pod->id)));
  Keep(first, UnpinNamespace(paths.User(pod->id)));
  Keep(first, UnmountShm(paths.Shm(pod->id)));
  Keep(first, UnmountImageVolumes(*this, pod->id));
  Keep(first, images.Release(pod->id));
  Keep(first, EndMonitor(pod));
  Keep(first, RemovePodCgroup(*pod->record.Get()));
  pod->record.Update([](record::Pod& record) {
    record.set_init_pid(0);
    record.set_monitor_pid(0);
    return true;
  });
  return first;
}

// Only the folder that is ours: kubelet's belong to kubelet.
absl::Status PodState::RemovePodCgroup(const record::Pod& pod) {
  if (!pod.config().linux().cgroup_parent().empty()) return absl::OkStatus();
  if (systemd_cgroups) CloseUnit(Cat("crisp-", pod.id(), ".slice"));
  const Cgroup cgroup(*cgroups, Cat("/crisp/", pod.id()));
  if (!cgroup.Exists()) return absl::OkStatus();
  RETURN_IF_ERROR(cgroup.Kill(SIGKILL));
  return cgroup.Remove(kCgroupPatience);
}

absl::Status PodState::StopPod(const PodPointer& pod, const Call& call) {
  const record::PodPhase phase = pod->record.Get()->phase();
  if (phase == record::POD_STOPPED || phase == record::POD_REMOVING) return absl::OkStatus();
  if (phase != record::POD_STOPPING) RETURN_IF_ERROR(SetPhase(*pod, record::POD_STOPPING));
  RETURN_IF_ERROR(Dismantle(pod, call));
  RETURN_IF_ERROR(SetPhase(*pod, record::POD_STOPPED));
  PublishStop(*pod);
  return absl::OkStatus();
}

absl::Status PodState::DropPod(const PodPointer& pod) {
  RETURN_IF_ERROR(RemoveTree(paths.Pod(pod->id)));
  RETURN_IF_ERROR(Erase(*pod));
  selinux_levels.Drop(pod->record.Get()->selinux_level());
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<MonitorClient>> PodState::Connect(const std::string& pod_id,
                                                                 UniqueFd pidfd) {
  ASSIGN_OR_RETURN(UniqueFd socket, ConnectForPackets(paths.MonitorSocket(pod_id)));
  return MonitorClient::Open(*watcher, *this, pod_id, std::move(socket), std::move(pidfd));
}

void PodState::TakeHello(const PodPointer& pod, MonitorClient& client,
                         const monitor::Reply& hello) {
  const pid_t pid = hello.monitor_pid();
  if (pid > 0 && !client.HasProcess()) {
    UniqueFd pidfd(pidfd_open(pid, 0));
    if (pidfd.valid()) client.set_process(std::move(pidfd));
  }
  pod->record.Update([&](record::Pod& record) {
    record.set_monitor_pid(pid);
    record.set_monitor_start_ticks(ProcessStartTicks(pid));
    record.set_init_pid(hello.pid());
    return true;
  });
}

absl::Status PodState::Adopt(const PodPointer& pod, const std::shared_ptr<MonitorClient>& client,
                             const Call& call) {
  monitor::Request request;
  request.mutable_hello()->set_protocol(1);
  ASSIGN_OR_RETURN(const monitor::Reply hello, client->Ask(std::move(request), call));
  if (!hello.pod_id().empty() && hello.pod_id() != pod->id) {
    return absl::InternalError(
        Cat("the monitor at ", paths.MonitorSocket(pod->id), " is that of pod ", hello.pod_id()));
  }
  TakeHello(pod, *client, hello);
  pod->set_monitor(client);
  std::map<std::string, const monitor::ContainerState*, std::less<>> known;
  for (const monitor::ContainerState& state : hello.containers()) {
    known[state.container_id()] = &state;
  }
  for (const ContainerPointer& container : table.ContainersOf(pod->id)) {
    const auto found = known.find(container->id);
    SettleContainer(container, found == known.end() ? nullptr : found->second);
    if (found != known.end()) known.erase(found);
  }
  // Containers of no record: of a damaged row, or removed in the very moment of a crash.
  for (const auto& [id, state] : known) {
    if (state->exited()) continue;
    LOG_WARN("pod {}: its monitor runs container {}, which has no record: killed", pod->id, id);
    monitor::Request kill;
    kill.mutable_signal()->set_container_id(id);
    kill.mutable_signal()->set_signal(SIGKILL);
    kill.mutable_signal()->set_all(true);
    client->Send(std::move(kill), {}, [](const MonitorClient::Answer&) {});
  }
  return absl::OkStatus();
}

// Holds a record that says "may run" against what the monitor knows; null: it does not know the
// container.
void PodState::SettleContainer(const ContainerPointer& container,
                               const monitor::ContainerState* state) {
  const ContainerRecord record = container->record.Get();
  if (!MayRun(*record)) return;
  if (state != nullptr && state->exited()) return NoteExit(container, state->exit());
  if (state != nullptr && state->starting()) return;  // an event follows
  if (state != nullptr) return NoteStarted(container, state->pid(), state->started_at());
  if (absl::StatusOr<monitor::ExitRecord> exit = ReadExit(*record); exit.ok()) {
    return NoteExit(container, *exit);
  }
  if (record->phase() == record::CONTAINER_STARTING) {
    // The monitor was never asked: it can still be started.
    (void)SetPhase(*container, record::CONTAINER_READY);
    return;
  }
  NoteExit(container, UnknownExit(container->id, "its monitor does not know it"));
}

void PodState::BuryMonitor(const PodPointer& pod, const std::shared_ptr<MonitorClient>& client) {
  if (pod->monitor() != client || pod->record.Get()->phase() != record::POD_READY) return;
  // The connection may end before the process does; only a live monitor is spoken to again.
  if (!client->EndsWithin(absl::Milliseconds(500))) {
    absl::StatusOr<std::shared_ptr<MonitorClient>> again = Connect(pod->id, UniqueFd());
    if (again.ok() && Adopt(pod, *again, Call{}.Within(absl::Seconds(5))).ok()) {
      LOG_WARN("pod {}: its monitor hung up; connected again", pod->id);
      return;
    }
    client->Kill();
  }
  LOG_ERROR("pod {}: its monitor died; the pod is not ready any more", pod->id);
  pod->set_monitor(nullptr);
  if (absl::Status status = SetPhase(*pod, record::POD_STOPPING); !status.ok()) {
    LOG_ERROR("pod {}: {}", pod->id, status.ToString());
  }
  EndContainersOf(pod, "the monitor of its pod died");
  PublishStop(*pod);
}

// There is no monitor (any more): what may still run is killed; exits that it wrote down count.
void PodState::EndContainersOf(const PodPointer& pod, std::string_view why) {
  for (const ContainerPointer& container : table.ContainersOf(pod->id)) {
    const ContainerRecord record = container->record.Get();
    if (!MayRun(*record)) continue;
    if (absl::Status status = ClearCgroup(*record, kCgroupPatience); !status.ok()) {
      LOG_ERROR("container {}: {}", container->id, status.ToString());
    }
    absl::StatusOr<monitor::ExitRecord> exit = ReadExit(*record);
    NoteExit(container, exit.ok() ? *std::move(exit) : UnknownExit(container->id, why));
  }
}

}  // namespace crisp
