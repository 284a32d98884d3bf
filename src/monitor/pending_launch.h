// PendingLaunch: a process between its launch and the moment its program was executed or could not
// be. One thread; borrows the loop.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "launch/launcher.h"

namespace crisp {

class PendingLaunch {
 public:
  // Called once, from the loop or from ProcessEnded(); may destroy the PendingLaunch.
  using Done = std::function<void(Outcome)>;

  PendingLaunch(EventLoop& loop, Launch launch, Done done);
  PendingLaunch(const PendingLaunch&) = delete;
  ~PendingLaunch();

  absl::Status Watch();
  // The process has been reaped: the outcome is there now or never comes.
  void ProcessEnded();

 private:
  void Finish(Outcome outcome);

  EventLoop& loop_;
  Launch launch_;
  Done done_;
};

}  // namespace crisp
