#include "stream/workers.h"

#include <pthread.h>

#include <algorithm>

namespace crisp::stream {

bool Workers::Run(Task& task) { return Queue(task, max_waiting_); }

void Workers::RunAlways(Task task) {
  if (!Queue(task, SIZE_MAX)) task();
}

bool Workers::Queue(Task& task, size_t limit) {
  std::vector<std::thread> ended;
  bool queued = false;
  {
    absl::MutexLock lock(&mutex_);
    ended.swap(ended_);
    if (!stopped_ && waiting_.size() < limit) {
      waiting_.push_back(std::move(task));
      queued = true;
      if (free_ < waiting_.size() && threads_.size() < max_threads_)
        threads_.emplace_back([this] { Work(); });
      wake_.Signal();
    }
  }
  JoinEnded(ended);
  return queued;
}

void Workers::Work() {
  ::pthread_setname_np(::pthread_self(), "stream-worker");
  absl::MutexLock lock(&mutex_);
  for (;;) {
    while (!waiting_.empty()) {
      Task task = std::move(waiting_.front());
      waiting_.pop_front();
      mutex_.Unlock();
      task();
      task = nullptr;
      mutex_.Lock();
    }
    if (stopped_) return;
    ++free_;
    const bool idle = wake_.WaitWithTimeout(&mutex_, idle_);
    --free_;
    if (idle && waiting_.empty() && !stopped_) break;
  }
  const auto self = std::find_if(threads_.begin(), threads_.end(), [](const std::thread& each) {
    return each.get_id() == std::this_thread::get_id();
  });
  ended_.push_back(std::move(*self));
  threads_.erase(self);
}

void Workers::JoinEnded(std::vector<std::thread>& ended) {
  for (std::thread& thread : ended) thread.join();
}

void Workers::Stop() {
  std::vector<std::thread> threads, ended;
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    threads.swap(threads_);
    ended.swap(ended_);
    wake_.SignalAll();
  }
  JoinEnded(threads);
  JoinEnded(ended);
}

size_t Workers::threads() {
  absl::MutexLock lock(&mutex_);
  return threads_.size();
}

}  // namespace crisp::stream
