#include "base/status.h"
#include "pod/pod_state.h"
#include "stream/stream_url.h"

namespace crisp {

absl::StatusOr<v1::PortForwardResponse> PodRuntime::PortForward(
    const v1::PortForwardRequest& request, StreamUrls& urls, const Call&) {
  ASSIGN_OR_RETURN(const PodPointer pod, state_->table.FindPod(request.pod_sandbox_id()));
  std::vector<uint16_t> ports;
  for (const int32_t port : request.port()) {
    if (port < 1 || port > UINT16_MAX) {
      return absl::InvalidArgumentError(
          Cat("forward a port of pod ", pod->id, ": ", port, " is no port; one is 1 to 65535"));
    }
    ports.push_back(static_cast<uint16_t>(port));
  }
  if (pod->record.Get()->phase() != record::POD_READY) {
    return absl::FailedPreconditionError(
        Cat("pod ", pod->id, " is not ready: its ports cannot be forwarded"));
  }
  v1::PortForwardResponse response;
  ASSIGN_OR_RETURN(*response.mutable_url(), urls.ForPortForward(pod->id, std::move(ports)));
  return response;
}

}  // namespace crisp
