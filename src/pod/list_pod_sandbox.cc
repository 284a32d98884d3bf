#include "base/status.h"
#include "pod/cri_view.h"
#include "pod/list_filter.h"
#include "pod/pod_state.h"

namespace crisp {

absl::StatusOr<std::vector<PodPointer>> PodsBy(const Table& table, const std::string& id) {
  if (id.empty()) return table.Pods();
  absl::StatusOr<PodPointer> pod = table.FindPod(id);
  if (absl::IsNotFound(pod.status())) return std::vector<PodPointer>();
  RETURN_IF_ERROR(pod.status());
  return std::vector<PodPointer>{*std::move(pod)};
}

namespace {

absl::StatusOr<std::vector<PodRecord>> Selected(const Table& table,
                                                const v1::PodSandboxFilter& filter) {
  ASSIGN_OR_RETURN(const std::vector<PodPointer> pods, PodsBy(table, filter.id()));
  std::vector<PodRecord> records;
  for (const PodPointer& pod : pods) {
    PodRecord record = pod->record.Get();
    if (filter.has_state() && StateOf(*record) != filter.state().state()) continue;
    if (!HasLabels(record->config().labels(), filter.label_selector())) continue;
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace

absl::StatusOr<v1::ListPodSandboxResponse> PodRuntime::ListPodSandbox(
    const v1::ListPodSandboxRequest& request, const Call&) {
  ASSIGN_OR_RETURN(const auto records, Selected(state_->table, request.filter()));
  v1::ListPodSandboxResponse response;
  for (const PodRecord& record : records) *response.add_items() = ItemOf(*record);
  return response;
}

absl::Status PodRuntime::StreamPodSandboxes(
    const v1::StreamPodSandboxesRequest& request,
    const std::function<bool(const v1::StreamPodSandboxesResponse&)>& send, const Call& call) {
  ASSIGN_OR_RETURN(const auto records, Selected(state_->table, request.filter()));
  MessageBatches<v1::StreamPodSandboxesResponse> batches(send, call);
  for (const PodRecord& record : records) {
    v1::PodSandbox item = ItemOf(*record);
    const size_t bytes = item.ByteSizeLong();
    *batches.message().add_pod_sandboxes() = std::move(item);
    RETURN_IF_ERROR(batches.Added(bytes));
  }
  return batches.Finish();
}

}  // namespace crisp
