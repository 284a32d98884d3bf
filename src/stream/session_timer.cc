#include "stream/session_timer.h"

#include <utility>

namespace crisp::stream {

void SessionTimer::Watch(std::weak_ptr<Session> session) {
  session_ = std::move(session);
  Touch();
  WaitFor(idle_limit_);
}

void SessionTimer::WaitFor(absl::Duration after) {
  // The timer lives as long as the session.
  alarm_.Set(after, [this, weak = session_] {
    const auto session = weak.lock();
    if (session == nullptr) return;
    const absl::Duration left = touched_ + idle_limit_ - absl::Now();
    if (left > absl::ZeroDuration()) return WaitFor(left);
    session->Fail(absl::DeadlineExceededError("the streaming session was idle for too long"));
  });
}

void SessionTimer::CutAfter(absl::Duration after) {
  alarm_.Set(after, [weak = session_] {
    if (const auto session = weak.lock()) session->Cut(absl::OkStatus());
  });
}

}  // namespace crisp::stream
