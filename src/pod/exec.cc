#include "base/status.h"
#include "pod/pod_state.h"
#include "pod/stream_request.h"
#include "stream/stream_url.h"

namespace crisp {

absl::StatusOr<v1::ExecResponse> PodRuntime::Exec(const v1::ExecRequest& request, StreamUrls& urls,
                                                  const Call&) {
  ASSIGN_OR_RETURN(const ContainerPointer container,
                   state_->table.FindContainer(request.container_id()));
  if (absl::Status status = CheckStreams(request); !status.ok()) {
    return Annotate(status, Cat("exec in container ", container->id));
  }
  if (request.cmd().empty()) {
    return absl::InvalidArgumentError(Cat("exec in container ", container->id, ": cmd is empty"));
  }
  RETURN_IF_ERROR(state_->FindRunning(container->id, "nothing can be executed in it").status());
  v1::ExecResponse response;
  ASSIGN_OR_RETURN(*response.mutable_url(),
                   urls.ForExec({.container_id = container->id,
                                 .cmd = {request.cmd().begin(), request.cmd().end()},
                                 .tty = request.tty(),
                                 .in = request.stdin(),
                                 .out = request.stdout(),
                                 .err = request.stderr()}));
  return response;
}

}  // namespace crisp
