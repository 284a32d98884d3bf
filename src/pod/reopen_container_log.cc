#include "base/status.h"
#include "pod/pod_state.h"

namespace crisp {

absl::StatusOr<v1::ReopenContainerLogResponse> PodRuntime::ReopenContainerLog(
    const v1::ReopenContainerLogRequest& request, const Call& call) {
  ASSIGN_OR_RETURN(const ContainerPointer container,
                   state_->table.FindContainer(request.container_id()));
  const std::shared_ptr<MonitorClient> monitor = container->pod->monitor();
  if (container->record.Get()->phase() != record::CONTAINER_UP || !monitor) {
    return absl::FailedPreconditionError(
        Cat("container ", container->id, " is not running: its log is not reopened"));
  }
  monitor::Request reopen;
  reopen.mutable_reopen_log()->set_container_id(container->id);
  absl::Status status = monitor->Ask(std::move(reopen), call).status();
  if (!status.ok()) return Annotate(status, Cat("reopening the log of container ", container->id));
  return v1::ReopenContainerLogResponse();
}

}  // namespace crisp
