// Call: what a caller allows, handed down through everything that may wait: a deadline and a way to
// ask whether the caller has gone. Any thread; the callback must outlive the call.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace crisp {

struct Call {
  absl::Time deadline = absl::InfiniteFuture();
  std::function<bool()> cancelled = [] { return false; };

  // Ok, Cancelled or DeadlineExceeded; waiting code asks at least every 100 ms.
  absl::Status Check() const {
    if (absl::Now() >= deadline)
      return absl::DeadlineExceededError("the caller's deadline has passed");
    if (cancelled()) return absl::CancelledError("the caller has gone");
    return absl::OkStatus();
  }
  // This call with a deadline no later than now + limit.
  Call Within(absl::Duration limit) const {
    Call call = *this;
    call.deadline = std::min(deadline, absl::Now() + limit);
    return call;
  }
};

}  // namespace crisp
