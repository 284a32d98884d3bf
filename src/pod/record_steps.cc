#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "pod/cri_view.h"
#include "pod/pod_state.h"

namespace crisp {

absl::Status PodState::Save(PodEntry& pod) {
  absl::MutexLock lock(&pod.save_mutex);
  if (pod.erased) return absl::OkStatus();
  // Read under the lock: writes of one entry may be late, never out of order.
  return records->Put(*pod.record.Get());
}

absl::Status PodState::Save(ContainerEntry& container) {
  absl::MutexLock lock(&container.save_mutex);
  if (container.erased) return absl::OkStatus();
  return records->Put(*container.record.Get());
}

void PodState::SaveLater(PodPointer pod) {
  worker->Post([this, pod = std::move(pod)] {
    if (absl::Status status = Save(*pod); !status.ok()) {
      LOG_ERROR("pod {}: its record cannot be written: {}", pod->id, status.ToString());
    }
  });
}

void PodState::SaveLater(ContainerPointer container) {
  worker->Post([this, container = std::move(container)] {
    if (absl::Status status = Save(*container); !status.ok()) {
      LOG_ERROR("container {}: its record cannot be written: {}", container->id, status.ToString());
    }
  });
}

absl::Status PodState::Erase(PodEntry& pod) {
  absl::MutexLock lock(&pod.save_mutex);
  RETURN_IF_ERROR(records->DeletePod(pod.id));
  pod.erased = true;
  return absl::OkStatus();
}

absl::Status PodState::Erase(ContainerEntry& container) {
  absl::MutexLock lock(&container.save_mutex);
  RETURN_IF_ERROR(records->DeleteContainer(container.id));
  container.erased = true;
  return absl::OkStatus();
}

absl::Status PodState::SetPhase(PodEntry& pod, record::PodPhase phase) {
  const record::PodPhase before = pod.record.Get()->phase();
  pod.record.Update([&](record::Pod& record) {
    record.set_phase(phase);
    return true;
  });
  absl::Status status = Save(pod);
  if (!status.ok()) {
    pod.record.Update([&](record::Pod& record) {
      record.set_phase(before);
      return true;
    });
  }
  return status;
}

absl::Status PodState::SetPhase(ContainerEntry& container, record::ContainerPhase phase) {
  const record::ContainerPhase before = container.record.Get()->phase();
  container.record.Update([&](record::Container& record) {
    record.set_phase(phase);
    return true;
  });
  absl::Status status = Save(container);
  if (!status.ok()) {
    container.record.Update([&](record::Container& record) {
      record.set_phase(before);
      return true;
    });
  }
  return status;
}

void PodState::Publish(const PodEntry& pod, const std::string& container_id,
                       v1::ContainerEventType type) {
  if (!events.Wanted()) return;
  v1::ContainerEventResponse event;
  event.set_container_id(container_id);
  event.set_container_event_type(type);
  event.set_created_at(absl::GetCurrentTimeNanos());
  *event.mutable_pod_sandbox_status() = StatusOf(*pod.record.Get());
  for (const ContainerPointer& container : table.ContainersOf(pod.id)) {
    *event.add_containers_statuses() = StatusOf(*container->record.Get());
  }
  events.Publish(std::move(event));
}

void PodState::PublishStop(PodEntry& pod) {
  absl::MutexLock lock(&pod.event_mutex);
  if (std::exchange(pod.stop_told, true)) return;
  Publish(pod, pod.id, v1::CONTAINER_STOPPED_EVENT);
}

}  // namespace crisp
