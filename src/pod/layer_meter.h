// LayerMeter: how much each container has written into its writable layer. Who asks gets the last
// measurement at once; when it has become old, a thread of lowest priority walks the layer at a
// bounded pace. Nobody asks: nothing is walked, and there is no thread. Any thread.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kernel/disk_usage.h"

namespace crisp {

struct LayerUsage {
  DiskUsage usage;
  int64_t time = 0;  // when it was measured: Unix time in nanoseconds
};

class LayerMeter {
 public:
  LayerMeter() = default;
  ~LayerMeter();
  LayerMeter(const LayerMeter&) = delete;
  LayerMeter& operator=(const LayerMeter&) = delete;

  // The last measurement; nullopt until there is one, which this call then asks for.
  std::optional<LayerUsage> Get(const std::string& container, const std::string& folder)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Forget(const std::string& container) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Layer {
    std::optional<LayerUsage> last;
    absl::Time due = absl::InfinitePast();
    bool queued = false;
  };
  struct Task {
    std::string container;
    std::string folder;
  };
  bool StartThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  void Measure(const Task& task) ABSL_LOCKS_EXCLUDED(mutex_);
  // Sleeps a little; false when the meter ends.
  bool Pause() ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !queue_.empty();
  }

  absl::Mutex mutex_;
  std::map<std::string, Layer> layers_ ABSL_GUARDED_BY(mutex_);
  std::deque<Task> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp
