// Workers: the threads on which the streaming server waits for its backend. They start with demand,
// at most so many, and go when idle for a while, so that a daemon without sessions has none. Any
// thread.
#pragma once

#include <deque>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace crisp::stream {

class Workers {
 public:
  using Task = absl::AnyInvocable<void()>;

  Workers(size_t max_threads, size_t max_waiting, absl::Duration idle = absl::Seconds(10))
      : max_threads_(max_threads), max_waiting_(max_waiting), idle_(idle) {}
  ~Workers() { Stop(); }

  // False (and the task untouched) if too many tasks wait already, or after Stop.
  bool Run(Task& task);
  // For clean-up, which is never refused: at worst it runs here and now.
  void RunAlways(Task task);

  // Runs what waits, then ends every thread.
  void Stop();

  size_t threads();

 private:
  bool Queue(Task& task, size_t limit) ABSL_LOCKS_EXCLUDED(mutex_);
  void Work();
  void JoinEnded(std::vector<std::thread>& ended);

  const size_t max_threads_;
  const size_t max_waiting_;
  const absl::Duration idle_;
  absl::Mutex mutex_;
  absl::CondVar wake_;
  std::deque<Task> waiting_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> ended_ ABSL_GUARDED_BY(mutex_);  // to be joined
  size_t free_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace crisp::stream
