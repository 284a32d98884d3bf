// Snapshot: the present state of one record, as an immutable value that readers share. A reader
// gets the whole of one version without waiting (the lock is held for a pointer's copy); a writer
// publishes a changed copy; whoever waits for a change is woken. Any thread.
#pragma once

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/call.h"
#include "base/status.h"

namespace crisp {

inline constexpr absl::Duration kCancelPoll =
    absl::Milliseconds(100);  // how often a waiting call is asked

template <typename Record>
class Snapshot {
 public:
  explicit Snapshot(Record record) : current_(std::make_shared<const Record>(std::move(record))) {}

  std::shared_ptr<const Record> Get() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return current_;
  }

  // Calls change(copy); publishes the copy if it returns true, and returns the same. One change at
  // a time, so a decision taken inside on the record's phase holds.
  template <typename Change>
  bool Update(Change&& change) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    auto next = std::make_shared<Record>(*current_);
    if (!change(*next)) return false;
    current_ = std::move(next);
    changed_.SignalAll();
    return true;
  }

  // Waits until wanted(record) is true (returns true) or `until` has come (false); or the call's
  // end, an error.
  template <typename Wanted>
  absl::StatusOr<bool> Await(Wanted&& wanted, absl::Time until, const Call& call) const
      ABSL_LOCKS_EXCLUDED(mutex_) {
    while (true) {
      {
        absl::MutexLock lock(&mutex_);
        const absl::Time poll = std::min({until, call.deadline, absl::Now() + kCancelPoll});
        while (!wanted(*current_)) {
          if (changed_.WaitWithDeadline(&mutex_, poll)) break;
        }
        if (wanted(*current_)) return true;
      }
      // Outside the lock: what cancelled() does is the caller's business.
      RETURN_IF_ERROR(call.Check());
      if (absl::Now() >= until) return false;
    }
  }

  // Wakes those who wait, so that they look again at what is not in the record.
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    changed_.SignalAll();
  }

 private:
  mutable absl::Mutex mutex_;
  mutable absl::CondVar changed_;
  std::shared_ptr<const Record> current_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp
