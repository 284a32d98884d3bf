#include "base/status.h"
#include "pod/pod_state.h"

namespace crisp {

absl::StatusOr<v1::RemoveContainerResponse> PodRuntime::RemoveContainer(
    const v1::RemoveContainerRequest& request, const Call& call) {
  absl::StatusOr<ContainerPointer> container = state_->table.FindContainer(request.container_id());
  if (absl::IsNotFound(container.status())) return v1::RemoveContainerResponse();
  RETURN_IF_ERROR(container.status());
  RETURN_IF_ERROR(state_->RemoveOne(*container, call));
  return v1::RemoveContainerResponse();
}

}  // namespace crisp
