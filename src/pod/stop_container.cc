#include "base/status.h"
#include "pod/pod_state.h"

namespace crisp {

absl::StatusOr<v1::StopContainerResponse> PodRuntime::StopContainer(
    const v1::StopContainerRequest& request, const Call& call) {
  absl::StatusOr<ContainerPointer> container = state_->table.FindContainer(request.container_id());
  if (absl::IsNotFound(container.status())) return v1::StopContainerResponse();
  RETURN_IF_ERROR(container.status());
  RETURN_IF_ERROR(state_->StopOne(*container, absl::Seconds(request.timeout()), call));
  return v1::StopContainerResponse();
}

}  // namespace crisp
