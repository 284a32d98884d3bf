// Reaper: waits for the monitor's children. SIGCHLD comes through a signalfd in the event loop;
// each child that was announced gets its callback, any other (an orphan that the kernel handed to
// the monitor as its subreaper, or a launcher's helper) is only buried, and remembered while
// somebody waits for a child whose number is not known yet. One thread; SIGCHLD must be blocked.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace crisp {

// 0..255: the exit code, or 128 + n after signal n.
int ExitCodeOf(int wait_status);

class Reaper {
 public:
  using Ended = std::function<void(int wait_status)>;

  static absl::StatusOr<std::unique_ptr<Reaper>> Create(EventLoop& loop);
  ~Reaper();

  // Before the loop runs again after the child was made: then no end can be missed.
  void Watch(pid_t child, Ended ended);
  // Its end will only be buried.
  void Forget(pid_t child) { children_.erase(child); }
  // Buries every child that has ended and calls back.
  void Reap();

  // Between the two, the ends of children that nobody watches are kept for TakeStray.
  void ExpectStray() { ++expecting_; }
  void ExpectNoMore() {
    if (--expecting_ == 0) strays_.clear();
  }
  // How that child ended, if it did.
  std::optional<int> TakeStray(pid_t child);

 private:
  Reaper(EventLoop& loop, UniqueFd signals) : loop_(loop), signals_(std::move(signals)) {}

  EventLoop& loop_;
  UniqueFd signals_;
  std::map<pid_t, Ended> children_;
  int expecting_ = 0;
  std::map<pid_t, int> strays_;
};

}  // namespace crisp
