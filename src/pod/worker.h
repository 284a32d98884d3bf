// Worker: one background thread that runs posted tasks in order: what must happen, but not while a
// caller waits (removing trees and cgroups, writing an exit into the database). Any thread may
// Post. The destructor runs what is still queued.
#pragma once

#include <deque>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace crisp {

class Worker {
 public:
  Worker() : thread_([this] { Run(); }) {}
  ~Worker() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    thread_.join();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void Post(std::function<void()> task) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    tasks_.push_back(std::move(task));
  }

  // Returns when everything posted before has run. Not from a task.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_) {
    bool done = false;
    Post([&] {
      absl::MutexLock lock(&mutex_);
      done = true;
    });
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&done));
  }

 private:
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !tasks_.empty();
  }

  void Run() ABSL_LOCKS_EXCLUDED(mutex_) {
    while (true) {
      std::function<void()> task;
      {
        absl::MutexLock lock(&mutex_);
        mutex_.Await(absl::Condition(this, &Worker::HasWork));
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }

  absl::Mutex mutex_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace crisp
