#include "pod/event_hub.h"

#include <algorithm>

namespace crisp {
namespace {
constexpr size_t kQueueLimit = 1000;
}  // namespace

absl::StatusOr<::runtime::v1::ContainerEventResponse> EventSubscription::Next(const Call& call) {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      const absl::Time poll = std::min(call.deadline, absl::Now() + absl::Milliseconds(100));
      while (queue_.empty() && !pushed_.WaitWithDeadline(&mutex_, poll)) {
      }
      if (!queue_.empty()) {
        const auto event = std::move(queue_.front());
        queue_.pop_front();
        return *event;
      }
    }
    if (absl::Status status = call.Check(); !status.ok()) return status;
  }
}

void EventSubscription::Push(
    const std::shared_ptr<const ::runtime::v1::ContainerEventResponse>& event) {
  absl::MutexLock lock(&mutex_);
  if (queue_.size() >= kQueueLimit) queue_.pop_front();
  queue_.push_back(event);
  pushed_.Signal();
}

std::shared_ptr<EventSubscription> EventHub::Subscribe() {
  auto subscription = std::make_shared<EventSubscription>();
  absl::MutexLock lock(&mutex_);
  std::erase_if(subscriptions_, [](const auto& one) { return one.expired(); });
  subscriptions_.push_back(subscription);
  return subscription;
}

bool EventHub::HasSubscribers() const {
  absl::MutexLock lock(&mutex_);
  return std::any_of(subscriptions_.begin(), subscriptions_.end(),
                     [](const auto& one) { return !one.expired(); });
}

void EventHub::Publish(::runtime::v1::ContainerEventResponse event) {
  const auto shared =
      std::make_shared<const ::runtime::v1::ContainerEventResponse>(std::move(event));
  absl::MutexLock lock(&mutex_);
  for (const auto& weak : subscriptions_) {
    if (const auto subscription = weak.lock()) subscription->Push(shared);
  }
}

}  // namespace crisp
