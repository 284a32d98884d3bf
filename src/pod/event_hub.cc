#include "pod/event_hub.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "base/text.h"

namespace crisp {
namespace {

// How long one that was cut may go on not reading before its stream is torn down.
constexpr absl::Duration kLastChance = absl::Seconds(30);
constexpr absl::Duration kKeepStart = absl::Minutes(5);

}  // namespace

absl::StatusOr<ContainerEvent> EventSubscription::Next(const Call& call) {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      const absl::Time poll = std::min(call.deadline, absl::Now() + absl::Milliseconds(100));
      while (queue_.empty() && ended_.ok() && !pushed_.WaitWithDeadline(&mutex_, poll)) {
      }
      if (!ended_.ok()) return ended_;
      if (!queue_.empty()) {
        ContainerEvent event = std::move(queue_.front().event);
        bytes_ -= queue_.front().bytes;
        queue_.pop_front();
        return event;
      }
    }
    if (absl::Status status = call.Check(); !status.ok()) return status;
  }
}

void EventSubscription::Sending(std::function<void()> abort) {
  absl::MutexLock lock(&mutex_);
  if (closed_) abort();  // the hub closed after Next had given the event
  abort_ = std::move(abort);
}

void EventSubscription::Sent() {
  absl::MutexLock lock(&mutex_);
  abort_ = nullptr;
}

void EventSubscription::Push(const ContainerEvent& event, size_t bytes) {
  absl::MutexLock lock(&mutex_);
  if (!ended_.ok()) {
    if (abort_ && absl::Now() - ended_at_ > kLastChance) abort_();
    return;
  }
  if (queue_.size() >= kMostEvents || bytes_ + bytes > kMostBytes) {
    return End(absl::ResourceExhaustedError(
        Cat("the subscriber is too slow: ", queue_.size(),
            " events waited for it; subscribe again and list what there is")));
  }
  queue_.push_back({event, bytes});
  bytes_ += bytes;
  pushed_.Signal();
}

void EventSubscription::Close() {
  absl::MutexLock lock(&mutex_);
  if (ended_.ok()) End(absl::UnavailableError("the daemon stops; subscribe again when it is back"));
  closed_ = true;
  if (abort_) abort_();
}

void EventSubscription::End(const absl::Status& status) {
  ended_ = status;
  ended_at_ = absl::Now();
  queue_.clear();
  bytes_ = 0;
  pushed_.Signal();
}

std::shared_ptr<EventSubscription> EventHub::Subscribe() {
  auto subscription = std::make_shared<EventSubscription>();
  absl::MutexLock lock(&mutex_);
  if (closed_) subscription->Close();
  if (absl::Now() > keep_until_) of_start_ = {};
  for (const Kept& kept : of_start_) subscription->Push(kept.event, kept.bytes);
  std::erase_if(subscriptions_, [](const auto& one) { return one.expired(); });
  subscriptions_.push_back(subscription);
  return subscription;
}

bool EventHub::Wanted() const {
  absl::MutexLock lock(&mutex_);
  return starting_ || std::any_of(subscriptions_.begin(), subscriptions_.end(),
                                  [](const auto& one) { return !one.expired(); });
}

void EventHub::Publish(::runtime::v1::ContainerEventResponse event) {
  const size_t bytes = event.ByteSizeLong();
  const auto shared =
      std::make_shared<const ::runtime::v1::ContainerEventResponse>(std::move(event));
  absl::MutexLock lock(&mutex_);
  if (absl::Now() > keep_until_) of_start_ = {};
  // Half of what a subscriber may have waiting, so that it can take them all and more.
  if (starting_ && of_start_.size() < EventSubscription::kMostEvents / 2 &&
      of_start_bytes_ + bytes <= EventSubscription::kMostBytes / 2) {
    of_start_.push_back({shared, bytes});
    of_start_bytes_ += bytes;
  }
  for (const auto& weak : subscriptions_) {
    if (const auto subscription = weak.lock()) subscription->Push(shared, bytes);
  }
}

void EventHub::EndStart() {
  absl::MutexLock lock(&mutex_);
  starting_ = false;
  keep_until_ = absl::Now() + kKeepStart;
}

void EventHub::Close() {
  absl::MutexLock lock(&mutex_);
  closed_ = true;
  for (const auto& weak : subscriptions_) {
    if (const auto subscription = weak.lock()) subscription->Close();
  }
}

}  // namespace crisp
