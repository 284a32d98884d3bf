// EventHub: hands every container event to every subscriber, in order, for GetContainerEvents.
// Publish never waits: a subscriber whose queue is full is cut, the others go on. Events of the
// daemon's start (exits that the recovery found) are kept for those who subscribe in the first
// minutes. Any thread; the hub outlives its subscriptions.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "api/cri.pb.h"
#include "base/call.h"

namespace crisp {

using ContainerEvent = std::shared_ptr<const ::runtime::v1::ContainerEventResponse>;

class EventSubscription {
 public:
  // What a subscriber may have waiting; more, and it is cut.
  static constexpr size_t kMostEvents = 4096;
  static constexpr size_t kMostBytes = 16 << 20;

  // The next event. ResourceExhausted once it was cut for being slow (what waited is lost),
  // Unavailable when the hub is closed, or the call's error when that ends first.
  absl::StatusOr<ContainerEvent> Next(const Call& call) ABSL_LOCKS_EXCLUDED(mutex_);

  // For a sender that may hang: while one is between Sending and Sent, `abort` is called when the
  // hub closes or has closed, and when events still come long after the subscriber was cut. It must
  // not wait.
  void Sending(std::function<void()> abort) ABSL_LOCKS_EXCLUDED(mutex_);
  void Sent() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class EventHub;
  void Push(const ContainerEvent& event, size_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);
  void End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  struct Waiting {
    ContainerEvent event;
    size_t bytes;
  };

  absl::Mutex mutex_;
  absl::CondVar pushed_;
  std::deque<Waiting> queue_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status ended_ ABSL_GUARDED_BY(mutex_);
  absl::Time ended_at_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void()> abort_ ABSL_GUARDED_BY(mutex_);
};

class EventHub {
 public:
  // Events from now on, until the returned object goes; those of the start first.
  std::shared_ptr<EventSubscription> Subscribe() ABSL_LOCKS_EXCLUDED(mutex_);
  // False: nobody would see an event, so it need not be made.
  bool Wanted() const ABSL_LOCKS_EXCLUDED(mutex_);
  void Publish(::runtime::v1::ContainerEventResponse event) ABSL_LOCKS_EXCLUDED(mutex_);

  // The recovery is over: what was published until now is kept for a while, nothing further is.
  void EndStart() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends every subscription, present and future: the daemon stops.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Kept {
    ContainerEvent event;
    size_t bytes;
  };

  mutable absl::Mutex mutex_;
  std::vector<std::weak_ptr<EventSubscription>> subscriptions_ ABSL_GUARDED_BY(mutex_);
  std::vector<Kept> of_start_ ABSL_GUARDED_BY(mutex_);
  size_t of_start_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool starting_ ABSL_GUARDED_BY(mutex_) = true;
  absl::Time keep_until_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace crisp
