// ExitWatcher: the one thread that reads from all monitors. What it calls must not wait: replies,
// exits and the end of a monitor pass through here. Any thread may Post; the loop itself belongs to
// its thread.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "absl/status/statusor.h"
#include "base/event_loop.h"

namespace crisp {

class ExitWatcher {
 public:
  static absl::StatusOr<std::unique_ptr<ExitWatcher>> Start();
  // Runs what was posted before, then ends the thread.
  ~ExitWatcher();

  void Post(std::function<void()> task) { loop_->Post(std::move(task)); }
  // On the watcher's thread only.
  EventLoop& loop() { return *loop_; }

 private:
  explicit ExitWatcher(std::unique_ptr<EventLoop> loop);

  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
};

}  // namespace crisp
