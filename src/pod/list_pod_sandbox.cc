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

absl::StatusOr<std::vector<ListItem::Bytes>> Selected(const Table& table,
                                                      const v1::PodSandboxFilter& filter) {
  ASSIGN_OR_RETURN(const std::vector<PodPointer> pods, PodsBy(table, filter.id()));
  std::vector<ListItem::Bytes> items;
  for (const PodPointer& pod : pods) {
    const PodRecord record = pod->record.Get();
    if (filter.has_state() && StateOf(*record) != filter.state().state()) continue;
    if (!HasLabels(record->config().labels(), filter.label_selector())) continue;
    items.push_back(pod->list_item.Of(record));
  }
  return items;
}

}  // namespace

absl::StatusOr<v1::ListPodSandboxResponse> PodRuntime::ListPodSandbox(
    const v1::ListPodSandboxRequest& request, const Call&) {
  ASSIGN_OR_RETURN(const auto items, Selected(state_->table, request.filter()));
  v1::ListPodSandboxResponse response;
  for (const ListItem::Bytes& item : items) AddItem(response, response.kItemsFieldNumber, *item);
  return response;
}

absl::Status PodRuntime::StreamPodSandboxes(
    const v1::StreamPodSandboxesRequest& request,
    const std::function<bool(const v1::StreamPodSandboxesResponse&)>& send, const Call& call) {
  ASSIGN_OR_RETURN(const auto items, Selected(state_->table, request.filter()));
  MessageBatches<v1::StreamPodSandboxesResponse> batches(send, call);
  for (const ListItem::Bytes& item : items) {
    AddItem(batches.message(), v1::StreamPodSandboxesResponse::kPodSandboxesFieldNumber, *item);
    RETURN_IF_ERROR(batches.Added(item->size()));
  }
  return batches.Finish();
}

}  // namespace crisp
