// EventHub: hands every container event to every subscriber, for GetContainerEvents. Publish never
// waits: a subscriber that does not read loses the oldest events once its queue is full. Any
// thread; the hub outlives its subscriptions.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "api/cri.pb.h"
#include "base/call.h"

namespace crisp {

class EventSubscription {
 public:
  // The next event; the call's error when it ends first.
  absl::StatusOr<::runtime::v1::ContainerEventResponse> Next(const Call& call)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class EventHub;
  void Push(const std::shared_ptr<const ::runtime::v1::ContainerEventResponse>& event)
      ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Mutex mutex_;
  absl::CondVar pushed_;
  std::deque<std::shared_ptr<const ::runtime::v1::ContainerEventResponse>> queue_
      ABSL_GUARDED_BY(mutex_);
};

class EventHub {
 public:
  // Events from now on, until the returned object goes.
  std::shared_ptr<EventSubscription> Subscribe() ABSL_LOCKS_EXCLUDED(mutex_);
  // False: nobody would see an event, so it need not be made.
  bool HasSubscribers() const ABSL_LOCKS_EXCLUDED(mutex_);
  void Publish(::runtime::v1::ContainerEventResponse event) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  std::vector<std::weak_ptr<EventSubscription>> subscriptions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp
