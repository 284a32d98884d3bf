#include "base/status.h"
#include "pod/pod_state.h"

namespace crisp {

absl::StatusOr<v1::RemovePodSandboxResponse> PodRuntime::RemovePodSandbox(
    const v1::RemovePodSandboxRequest& request, const Call& call) {
  PodState& state = *state_;
  absl::StatusOr<PodPointer> pod = state.table.FindPod(request.pod_sandbox_id());
  if (absl::IsNotFound(pod.status())) return v1::RemovePodSandboxResponse();
  RETURN_IF_ERROR(pod.status());
  ASSIGN_OR_RETURN(OperationLock::Held held,
                   (*pod)->operations.Acquire(call, Cat("pod ", (*pod)->id)));
  // Whoever held the lock may have removed it.
  if (absl::IsNotFound(state.table.FindPod((*pod)->id).status())) {
    return v1::RemovePodSandboxResponse();
  }
  RETURN_IF_ERROR(state.StopPod(*pod, call));
  for (const ContainerPointer& container : state.table.ContainersOf((*pod)->id)) {
    RETURN_IF_ERROR(state.RemoveOne(container, call));
  }
  RETURN_IF_ERROR(state.SetPhase(**pod, record::POD_REMOVING));
  RETURN_IF_ERROR(state.DropPod(*pod));
  absl::MutexLock lock(&(*pod)->event_mutex);
  state.table.Remove(**pod);
  state.Publish(**pod, (*pod)->id, v1::CONTAINER_DELETED_EVENT);
  return v1::RemovePodSandboxResponse();
}

}  // namespace crisp
