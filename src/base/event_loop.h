// EventLoop: one epoll instance with descriptors, timers and a wake-up for other threads. Run() and
// every callback stay on one thread; Post() and Stop() may be called from any. Descriptors are
// borrowed: Remove() before closing one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace crisp {

class EventLoop {
 public:
  using Ready = std::function<void(uint32_t events)>;  // EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR, ...
  using TimerId = uint64_t;

  static absl::StatusOr<std::unique_ptr<EventLoop>> Create();

  // Calls ready whenever fd has one of these events (level-triggered; EPOLLHUP and EPOLLERR
  // always).
  absl::Status Add(int fd, uint32_t events, Ready ready);
  absl::Status Change(int fd, uint32_t events);
  // Safe inside a callback, also for another descriptor that is ready in the same round.
  void Remove(int fd);

  TimerId After(absl::Duration delay, std::function<void()> fire);
  void CancelTimer(TimerId id);

  // From any thread: runs task on the loop's thread soon.
  void Post(std::function<void()> task);

  // Until Stop(). RunOnce waits at most `limit` and serves one round.
  void Run();
  void RunOnce(absl::Duration limit);
  void Stop();

 private:
  struct Timer {
    TimerId id;
    std::function<void()> fire;
  };
  struct Entry {
    Ready ready;
  };

  EventLoop(UniqueFd epoll, UniqueFd wake) : epoll_(std::move(epoll)), wake_(std::move(wake)) {}
  int WaitMillis(absl::Duration limit) const;
  void FireTimers();
  void RunPosted();

  UniqueFd epoll_;
  UniqueFd wake_;
  std::map<int, std::shared_ptr<Entry>> entries_;
  std::multimap<int64_t, Timer> timers_;  // by monotonic nanoseconds
  TimerId next_timer_ = 1;
  bool stopped_ = false;
  std::mutex posted_mutex_;  // the one lock here; std::mutex keeps the monitor free of absl's
                             // synchronization
  std::vector<std::function<void()>> posted_;
};

}  // namespace crisp
