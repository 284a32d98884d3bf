// OperationLock: one lifecycle operation at a time on a pod or a container, held across waiting
// (for the network, the monitor, ...). Reads never take it. Waiting for it honours the Call. Any
// thread; the holder may be another thread than the one that acquired it.
#pragma once

#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/call.h"
#include "base/status.h"

namespace crisp {

class OperationLock {
 public:
  class Held {
   public:
    Held() = default;
    explicit Held(OperationLock* lock) : lock_(lock) {}
    Held(Held&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)) {}
    Held& operator=(Held&& other) noexcept {
      if (this != &other) {
        Release();
        lock_ = std::exchange(other.lock_, nullptr);
      }
      return *this;
    }
    ~Held() { Release(); }
    void Release() {
      if (lock_ != nullptr) std::exchange(lock_, nullptr)->Unlock();
    }

   private:
    OperationLock* lock_ = nullptr;
  };

  // The call's error, with `what` ("container 0123...") in its words, if it ends first.
  absl::StatusOr<Held> Acquire(const Call& call, std::string_view what)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    while (true) {
      {
        absl::MutexLock lock(&mutex_);
        const absl::Time poll = std::min(call.deadline, absl::Now() + absl::Milliseconds(100));
        while (busy_ && !released_.WaitWithDeadline(&mutex_, poll)) {
        }
        if (!busy_) {
          busy_ = true;
          return Held(this);
        }
      }
      if (absl::Status status = call.Check(); !status.ok()) {
        return Annotate(status, Cat("waiting for another operation on ", what));
      }
    }
  }

 private:
  void Unlock() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    busy_ = false;
    released_.Signal();
  }

  absl::Mutex mutex_;
  absl::CondVar released_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace crisp
