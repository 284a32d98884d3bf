#include "absl/time/clock.h"
#include "base/status.h"
#include "pod/cri_view.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

Json InfoOf(const PodState& state, const record::Pod& pod) {
  absl::StatusOr<Json> network = ParseJson(pod.network_json(), "network");
  return {{"sandboxID", pod.id()},
          {"pid", pod.init_pid()},
          {"monitorPid", pod.monitor_pid()},
          {"config", JsonOf(pod.config())},
          {"runtimeHandler", pod.runtime_handler()},
          {"overhead", pod.has_overhead() ? JsonOf(pod.overhead()) : Json()},
          {"resources", pod.has_resources() ? JsonOf(pod.resources()) : Json()},
          {"network",
           {{"kind", pod.network_kind()},
            {"state", network.ok() ? *network : Json(pod.network_json())}}},
          {"networkNamespace", HostNetwork(pod) ? "" : state.paths.Netns(pod.id())},
          {"phase", record::PodPhase_Name(pod.phase())}};
}

}  // namespace

absl::StatusOr<v1::PodSandboxStatusResponse> PodRuntime::PodSandboxStatus(
    const v1::PodSandboxStatusRequest& request, const Call&) {
  ASSIGN_OR_RETURN(const PodPointer pod, state_->table.FindPod(request.pod_sandbox_id()));
  v1::PodSandboxStatusResponse response;
  const PodRecord record = pod->record.Get();
  *response.mutable_status() = StatusOf(*record);
  for (const ContainerPointer& container : state_->table.ContainersOf(pod->id)) {
    *response.add_containers_statuses() = StatusOf(*container->record.Get());
  }
  response.set_timestamp(absl::GetCurrentTimeNanos());
  if (request.verbose()) {
    (*response.mutable_info())["info"] = JsonText(InfoOf(*state_, *record));
  }
  return response;
}

}  // namespace crisp
