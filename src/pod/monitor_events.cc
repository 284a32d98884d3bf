#include "base/log.h"
#include "pod/pod_state.h"

namespace crisp {

void PodState::ContainerStarted(const std::string& pod_id, const monitor::ContainerStarted& event) {
  absl::StatusOr<ContainerPointer> container = table.FindContainer(event.container_id());
  if (!container.ok() || (*container)->pod->id != pod_id) return;
  NoteStarted(*container, event.pid(), event.started_at());
}

void PodState::ContainerExited(const std::string& pod_id, const monitor::ExitRecord& exit) {
  absl::StatusOr<ContainerPointer> container = table.FindContainer(exit.container_id());
  if (!container.ok() || (*container)->pod->id != pod_id) return;
  NoteExit(*container, exit);
}

void PodState::MonitorGone(const std::shared_ptr<MonitorClient>& client) {
  absl::StatusOr<PodPointer> pod = table.FindPod(client->pod_id());
  if (!pod.ok() || (*pod)->monitor() != client) return;
  worker->Post([this, pod = *std::move(pod), client] { BuryMonitor(pod, client); });
}

}  // namespace crisp
