// UpdateRuntimeConfig: the pods' address ranges that the cluster gave this node.
#include "network/network_choice.h"
#include "pod/pod_state.h"

namespace crisp {

absl::StatusOr<v1::UpdateRuntimeConfigResponse> PodRuntime::UpdateRuntimeConfig(
    const v1::UpdateRuntimeConfigRequest& request, const Call& call) {
  RETURN_IF_ERROR(call.Check());
  const std::string& cidrs = request.runtime_config().network_config().pod_cidr();
  if (!cidrs.empty()) RETURN_IF_ERROR(state_->networks.SetPodCidrs(cidrs));
  return v1::UpdateRuntimeConfigResponse();
}

}  // namespace crisp
