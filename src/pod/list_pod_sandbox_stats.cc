// PodSandboxStats, ListPodSandboxStats, StreamPodSandboxStats.
#include "base/status.h"
#include "pod/list_filter.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

absl::StatusOr<std::vector<PodPointer>> Selected(const Table& table,
                                                 const v1::PodSandboxStatsFilter& filter) {
  ASSIGN_OR_RETURN(std::vector<PodPointer> pods, PodsBy(table, filter.id()));
  std::erase_if(pods, [&](const PodPointer& pod) {
    return !HasLabels(pod->record.Get()->config().labels(), filter.label_selector());
  });
  return pods;
}

}  // namespace

absl::StatusOr<v1::PodSandboxStatsResponse> PodRuntime::PodSandboxStats(
    const v1::PodSandboxStatsRequest& request, const Call&) {
  ASSIGN_OR_RETURN(const PodPointer pod, state_->table.FindPod(request.pod_sandbox_id()));
  v1::PodSandboxStatsResponse response;
  *response.mutable_stats() = state_->StatsOfPod(*pod);
  return response;
}

absl::StatusOr<v1::ListPodSandboxStatsResponse> PodRuntime::ListPodSandboxStats(
    const v1::ListPodSandboxStatsRequest& request, const Call&) {
  ASSIGN_OR_RETURN(const auto pods, Selected(state_->table, request.filter()));
  v1::ListPodSandboxStatsResponse response;
  for (const PodPointer& pod : pods) *response.add_stats() = state_->StatsOfPod(*pod);
  return response;
}

absl::Status PodRuntime::StreamPodSandboxStats(
    const v1::StreamPodSandboxStatsRequest& request,
    const std::function<bool(const v1::StreamPodSandboxStatsResponse&)>& send, const Call& call) {
  ASSIGN_OR_RETURN(const auto pods, Selected(state_->table, request.filter()));
  MessageBatches<v1::StreamPodSandboxStatsResponse> batches(send, call);
  for (const PodPointer& pod : pods) {
    v1::PodSandboxStats stats = state_->StatsOfPod(*pod);
    const size_t bytes = stats.ByteSizeLong();
    *batches.message().add_pod_sandbox_stats() = std::move(stats);
    RETURN_IF_ERROR(batches.Added(bytes));
  }
  return batches.Finish();
}

}  // namespace crisp
