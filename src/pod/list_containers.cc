#include "base/status.h"
#include "pod/cri_view.h"
#include "pod/list_filter.h"
#include "pod/pod_state.h"

namespace crisp {

absl::StatusOr<std::vector<ContainerPointer>> ContainersBy(const Table& table,
                                                           const std::string& asked_pod,
                                                           const std::string& id) {
  std::vector<ContainerPointer> containers;
  std::string pod_id;
  if (!asked_pod.empty()) {
    absl::StatusOr<PodPointer> pod = table.FindPod(asked_pod);
    if (absl::IsNotFound(pod.status())) return containers;
    RETURN_IF_ERROR(pod.status());
    pod_id = (*pod)->id;
  }
  if (!id.empty()) {
    absl::StatusOr<ContainerPointer> container = table.FindContainer(id);
    if (absl::IsNotFound(container.status())) return containers;
    RETURN_IF_ERROR(container.status());
    if (pod_id.empty() || (*container)->pod->id == pod_id) {
      containers.push_back(*std::move(container));
    }
    return containers;
  }
  return pod_id.empty() ? table.Containers() : table.ContainersOf(pod_id);
}

namespace {

absl::StatusOr<std::vector<ListItem::Bytes>> Selected(const Table& table,
                                                      const v1::ContainerFilter& filter) {
  ASSIGN_OR_RETURN(const std::vector<ContainerPointer> containers,
                   ContainersBy(table, filter.pod_sandbox_id(), filter.id()));
  std::vector<ListItem::Bytes> items;
  for (const ContainerPointer& container : containers) {
    const ContainerRecord record = container->record.Get();
    if (filter.has_state() && StateOf(*record) != filter.state().state()) continue;
    if (!HasLabels(record->config().labels(), filter.label_selector())) continue;
    items.push_back(container->list_item.Of(record));
  }
  return items;
}

}  // namespace

absl::StatusOr<v1::ListContainersResponse> PodRuntime::ListContainers(
    const v1::ListContainersRequest& request, const Call&) {
  ASSIGN_OR_RETURN(const auto items, Selected(state_->table, request.filter()));
  v1::ListContainersResponse response;
  for (const ListItem::Bytes& item : items)
    AddItem(response, response.kContainersFieldNumber, *item);
  return response;
}

absl::Status PodRuntime::StreamContainers(
    const v1::StreamContainersRequest& request,
    const std::function<bool(const v1::StreamContainersResponse&)>& send, const Call& call) {
  ASSIGN_OR_RETURN(const auto items, Selected(state_->table, request.filter()));
  MessageBatches<v1::StreamContainersResponse> batches(send, call);
  for (const ListItem::Bytes& item : items) {
    AddItem(batches.message(), v1::StreamContainersResponse::kContainersFieldNumber, *item);
    RETURN_IF_ERROR(batches.Added(item->size()));
  }
  return batches.Finish();
}

}  // namespace crisp
