// ContainerStats, ListContainerStats, StreamContainerStats.
#include "base/status.h"
#include "pod/list_filter.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

absl::StatusOr<std::vector<ContainerPointer>> Selected(const Table& table,
                                                       const v1::ContainerStatsFilter& filter) {
  ASSIGN_OR_RETURN(std::vector<ContainerPointer> containers,
                   ContainersBy(table, filter.pod_sandbox_id(), filter.id()));
  std::erase_if(containers, [&](const ContainerPointer& container) {
    return !HasLabels(container->record.Get()->config().labels(), filter.label_selector());
  });
  return containers;
}

}  // namespace

absl::StatusOr<v1::ContainerStatsResponse> PodRuntime::ContainerStats(
    const v1::ContainerStatsRequest& request, const Call&) {
  ASSIGN_OR_RETURN(const ContainerPointer container,
                   state_->table.FindContainer(request.container_id()));
  v1::ContainerStatsResponse response;
  *response.mutable_stats() = state_->StatsOfContainer(*container);
  return response;
}

absl::StatusOr<v1::ListContainerStatsResponse> PodRuntime::ListContainerStats(
    const v1::ListContainerStatsRequest& request, const Call&) {
  ASSIGN_OR_RETURN(const auto containers, Selected(state_->table, request.filter()));
  v1::ListContainerStatsResponse response;
  for (const ContainerPointer& container : containers) {
    *response.add_stats() = state_->StatsOfContainer(*container);
  }
  return response;
}

absl::Status PodRuntime::StreamContainerStats(
    const v1::StreamContainerStatsRequest& request,
    const std::function<bool(const v1::StreamContainerStatsResponse&)>& send, const Call& call) {
  ASSIGN_OR_RETURN(const auto containers, Selected(state_->table, request.filter()));
  MessageBatches<v1::StreamContainerStatsResponse> batches(send, call);
  for (const ContainerPointer& container : containers) {
    v1::ContainerStats stats = state_->StatsOfContainer(*container);
    const size_t bytes = stats.ByteSizeLong();
    *batches.message().add_container_stats() = std::move(stats);
    RETURN_IF_ERROR(batches.Added(bytes));
  }
  return batches.Finish();
}

}  // namespace crisp
