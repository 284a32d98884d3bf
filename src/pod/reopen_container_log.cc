#include "base/status.h"
#include "pod/pod_state.h"

namespace crisp {

absl::StatusOr<v1::ReopenContainerLogResponse> PodRuntime::ReopenContainerLog(
    const v1::ReopenContainerLogRequest& request, const Call& call) {
  ASSIGN_OR_RETURN(const RunningContainer running,
                   state_->FindRunning(request.container_id(), "its log is not reopened"));
  monitor::Request reopen;
  reopen.mutable_reopen_log()->set_container_id(running.container->id);
  absl::Status status = running.monitor->Ask(std::move(reopen), call).status();
  if (!status.ok())
    return Annotate(status, Cat("reopening the log of container ", running.container->id));
  return v1::ReopenContainerLogResponse();
}

}  // namespace crisp
