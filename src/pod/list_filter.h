// What the list verbs share: selection by ids and labels, items by their bytes, and cutting a list
// into messages for the stream forms. One thread an object.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "base/call.h"
#include "google/protobuf/map.h"
#include "google/protobuf/unknown_field_set.h"
#include "pod/table.h"

namespace crisp {

using LabelMap = google::protobuf::Map<std::string, std::string>;

// The containers (list_containers.cc) or pods (list_pod_sandbox.cc) that the ids of a filter leave;
// an empty id leaves all, an unknown one none. InvalidArgument for an ambiguous one.
absl::StatusOr<std::vector<ContainerPointer>> ContainersBy(const Table& table,
                                                           const std::string& pod_id,
                                                           const std::string& id);
absl::StatusOr<std::vector<PodPointer>> PodsBy(const Table& table, const std::string& id);

// Every wanted label is there with this very value.
inline bool HasLabels(const LabelMap& labels, const LabelMap& wanted) {
  for (const auto& [key, value] : wanted) {
    const auto found = labels.find(key);
    if (found == labels.end() || found->second != value) return false;
  }
  return true;
}

// Adds an item to a repeated message field by its bytes. On the wire an unknown field with the
// number of a known one is that field, and it costs one copy where the message costs some thirty
// allocations; so the item is there for who gets the message, not for who made it.
template <typename Message>
void AddItem(Message& message, int field, std::string bytes) {
  *message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(field) =
      std::move(bytes);
}

// Sends a message as soon as it is big; an empty one never.
template <typename Message>
class MessageBatches {
 public:
  using Send = std::function<bool(const Message&)>;
  MessageBatches(const Send& send, const Call& call) : send_(send), call_(call) {}

  Message& message() { return message_; }

  absl::Status Added(size_t bytes) {
    bytes_ += bytes;
    return bytes_ < kBatchBytes ? absl::OkStatus() : Finish();
  }

  absl::Status Finish() {
    if (bytes_ == 0) return absl::OkStatus();
    if (absl::Status status = call_.Check(); !status.ok()) return status;
    if (!send_(message_)) return absl::CancelledError("the client has gone");
    message_.Clear();
    bytes_ = 0;
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kBatchBytes = 1 << 20;
  const Send& send_;
  const Call& call_;
  Message message_;
  size_t bytes_ = 0;
};

}  // namespace crisp
