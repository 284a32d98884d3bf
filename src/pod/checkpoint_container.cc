// CheckpointContainer: the state of one running container as an archive; the container goes on.
#include "base/status.h"
#include "checkpoint/archive_writer.h"
#include "pod/pod_capture.h"

namespace crisp {

absl::StatusOr<v1::CheckpointContainerResponse> PodRuntime::CheckpointContainer(
    const v1::CheckpointContainerRequest& request, const Call& caller) {
  PodState& state = *state_;
  ASSIGN_OR_RETURN(const ContainerPointer container,
                   state.table.FindContainer(request.container_id()));
  if (request.timeout() < 0) {
    return absl::InvalidArgumentError(Cat("timeout ", request.timeout(), " is negative"));
  }
  RETURN_IF_ERROR(CheckArchivePath(request.location()));
  const Call call =
      request.timeout() == 0 ? caller : caller.Within(absl::Seconds(request.timeout()));
  RETURN_IF_ERROR(state.criu.Ready(call));
  ASSIGN_OR_RETURN(OperationLock::Held held,
                   container->operations.Acquire(call, Cat("container ", container->id)));
  ASSIGN_OR_RETURN(PodCapture capture, PodCapture::Open(state));
  RETURN_IF_ERROR(capture.Take({container}, call));
  RETURN_IF_ERROR(WriteArchive(capture.FolderOf(*container), request.location(), call));
  return v1::CheckpointContainerResponse();
}

}  // namespace crisp
