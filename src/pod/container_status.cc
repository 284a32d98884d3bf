#include "base/file.h"
#include "base/status.h"
#include "pod/cri_view.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

Json InfoOf(const PodState& state, const record::Container& container) {
  const std::string bundle = state.paths.Bundle(container.pod_id(), container.id());
  Json spec;
  if (absl::StatusOr<std::string> text = ReadFile(Cat(bundle, "/config.json")); text.ok()) {
    if (absl::StatusOr<Json> json = ParseJson(*text, "config.json"); json.ok()) {
      spec = *std::move(json);
    }
  }
  return {{"sandboxID", container.pod_id()},
          {"pid", container.pid()},
          {"config", JsonOf(container.config())},
          {"runtimeSpec", std::move(spec)},
          {"bundle", bundle},
          {"cgroupPath", container.cgroup_path()},
          {"phase", record::ContainerPhase_Name(container.phase())}};
}

}  // namespace

absl::StatusOr<v1::ContainerStatusResponse> PodRuntime::ContainerStatus(
    const v1::ContainerStatusRequest& request, const Call&) {
  ASSIGN_OR_RETURN(const ContainerPointer container,
                   state_->table.FindContainer(request.container_id()));
  v1::ContainerStatusResponse response;
  const ContainerRecord record = container->record.Get();
  *response.mutable_status() = StatusOf(*record);
  if (request.verbose()) {
    (*response.mutable_info())["info"] = JsonText(InfoOf(*state_, *record));
  }
  return response;
}

}  // namespace crisp
