#include "base/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include <algorithm>
#include <array>

#include "base/status.h"

namespace crisp {
namespace {

int64_t MonotonicNanos() {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus("epoll_create1");
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoStatus("eventfd");
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(epoll), std::move(wake)));
  EventLoop* const self = loop.get();
  RETURN_IF_ERROR(self->Add(self->wake_.get(), EPOLLIN, [self](uint32_t) {
    uint64_t count;
    while (read(self->wake_.get(), &count, sizeof count) > 0) {
    }
  }));
  return loop;
}

absl::Status EventLoop::Add(int fd, uint32_t events, Ready ready) {
  struct epoll_event event = {};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    return ErrnoStatus("epoll_ctl add ", fd);
  entries_[fd] = std::make_shared<Entry>(Entry{std::move(ready)});
  return absl::OkStatus();
}

absl::Status EventLoop::Change(int fd, uint32_t events) {
  struct epoll_event event = {};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0)
    return ErrnoStatus("epoll_ctl change ", fd);
  return absl::OkStatus();
}

void EventLoop::Remove(int fd) {
  if (entries_.erase(fd) > 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::After(absl::Duration delay, std::function<void()> fire) {
  const TimerId id = next_timer_++;
  timers_.emplace(MonotonicNanos() + absl::ToInt64Nanoseconds(delay), Timer{id, std::move(fire)});
  return id;
}

void EventLoop::CancelTimer(TimerId id) {
  std::erase_if(timers_, [id](const auto& entry) { return entry.second.id == id; });
}

void EventLoop::Post(std::function<void()> task) {
  {
    std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(task));
  }
  const uint64_t one = 1;
  // The write can only fail when the counter is full, and then the loop wakes anyway.
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

void EventLoop::Stop() {
  Post([this] { stopped_ = true; });
}

void EventLoop::Run() {
  stopped_ = false;
  while (!stopped_) RunOnce(absl::InfiniteDuration());
}

int EventLoop::WaitMillis(absl::Duration limit) const {
  constexpr int64_t kForever = -1;
  int64_t millis = limit == absl::InfiniteDuration()
                       ? kForever
                       : std::max<int64_t>(0, absl::ToInt64Milliseconds(limit));
  if (!timers_.empty()) {
    // Rounded up: waking a moment early would spin.
    const int64_t until =
        std::max<int64_t>(0, (timers_.begin()->first - MonotonicNanos() + 999'999) / 1'000'000);
    millis = millis == kForever ? until : std::min(millis, until);
  }
  return static_cast<int>(std::min<int64_t>(millis, 1 << 30));
}

void EventLoop::RunOnce(absl::Duration limit) {
  std::array<struct epoll_event, 64> ready;
  const int count = epoll_wait(epoll_.get(), ready.data(), ready.size(), WaitMillis(limit));
  // Entries are looked up by number for each event, and held while called: a callback may remove
  // any of them. A descriptor that was closed and reopened within the round gets at worst one
  // spurious call.
  for (int i = 0; i < count; ++i) {
    const auto found = entries_.find(ready[i].data.fd);
    if (found == entries_.end()) continue;
    const std::shared_ptr<Entry> entry = found->second;
    entry->ready(ready[i].events);
  }
  FireTimers();
  RunPosted();
}

void EventLoop::FireTimers() {
  const int64_t now = MonotonicNanos();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    auto node = timers_.extract(timers_.begin());
    node.mapped().fire();
  }
}

void EventLoop::RunPosted() {
  std::vector<std::function<void()>> tasks;
  {
    std::lock_guard lock(posted_mutex_);
    tasks.swap(posted_);
  }
  for (const auto& task : tasks) task();
}

}  // namespace crisp
