#include "monitor/pending_launch.h"

#include <sys/epoll.h>

#include <optional>
#include <utility>

namespace crisp {

PendingLaunch::PendingLaunch(EventLoop& loop, Launch launch, Done done)
    : loop_(loop), launch_(std::move(launch)), done_(std::move(done)) {}

PendingLaunch::~PendingLaunch() {
  if (launch_.outcome.valid()) loop_.Remove(launch_.outcome.get());
}

absl::Status PendingLaunch::Watch() {
  return loop_.Add(launch_.outcome.get(), EPOLLIN, [this](uint32_t) {
    // ReadOutcome may close the descriptor, which the loop must have let go before.
    loop_.Remove(launch_.outcome.get());
    std::optional<Outcome> outcome = ReadOutcome(launch_);
    if (!outcome.has_value()) {
      outcome.emplace();
      outcome->status = Watch();
      if (outcome->status.ok()) return;
    }
    Finish(*std::move(outcome));
  });
}

void PendingLaunch::ProcessEnded() {
  loop_.Remove(launch_.outcome.get());
  std::optional<Outcome> outcome = ReadOutcome(launch_);
  if (!outcome.has_value()) {
    outcome.emplace();
    outcome->status = absl::InternalError("the process ended before its program was executed");
  }
  Finish(*std::move(outcome));
}

void PendingLaunch::Finish(Outcome outcome) {
  // done may destroy this object, and with it done_.
  const Done done = std::move(done_);
  done(std::move(outcome));
}

}  // namespace crisp
