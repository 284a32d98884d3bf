#include "base/status.h"
#include "pod/pod_state.h"
#include "pod/stream_request.h"
#include "stream/stream_url.h"

namespace crisp {

absl::StatusOr<v1::AttachResponse> PodRuntime::Attach(const v1::AttachRequest& request,
                                                      StreamUrls& urls, const Call&) {
  ASSIGN_OR_RETURN(const ContainerPointer container,
                   state_->table.FindContainer(request.container_id()));
  if (absl::Status status = CheckStreams(request); !status.ok()) {
    return Annotate(status, Cat("attach to container ", container->id));
  }
  RETURN_IF_ERROR(state_->FindRunning(container->id, "nobody can attach to it").status());
  v1::AttachResponse response;
  ASSIGN_OR_RETURN(*response.mutable_url(), urls.ForAttach({.container_id = container->id,
                                                            .tty = request.tty(),
                                                            .in = request.stdin(),
                                                            .out = request.stdout(),
                                                            .err = request.stderr()}));
  return response;
}

}  // namespace crisp
