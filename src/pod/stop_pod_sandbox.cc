#include "base/status.h"
#include "pod/pod_state.h"

namespace crisp {

absl::StatusOr<v1::StopPodSandboxResponse> PodRuntime::StopPodSandbox(
    const v1::StopPodSandboxRequest& request, const Call& call) {
  absl::StatusOr<PodPointer> pod = state_->table.FindPod(request.pod_sandbox_id());
  if (absl::IsNotFound(pod.status())) return v1::StopPodSandboxResponse();
  RETURN_IF_ERROR(pod.status());
  ASSIGN_OR_RETURN(OperationLock::Held held,
                   (*pod)->operations.Acquire(call, Cat("pod ", (*pod)->id)));
  RETURN_IF_ERROR(state_->StopPod(*pod, call));
  return v1::StopPodSandboxResponse();
}

}  // namespace crisp
