#include "pod/layer_meter.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <system_error>

#include "absl/time/clock.h"
#include "base/log.h"

namespace crisp {
namespace {

constexpr absl::Duration kFresh = absl::Seconds(10);
constexpr int kShareOfTime = 20;  // a layer is walked for at most one part in so many
constexpr size_t kPace = 256;     // entries between two pauses
constexpr absl::Duration kPause = absl::Milliseconds(5);

// Last in the queues for the processor and the disk.
void BecomeIdle() {
  constexpr int kIoprioWhoProcess = 1;
  constexpr int kIoprioClassIdle = 3 << 13;
  const auto thread = static_cast<id_t>(syscall(SYS_gettid));
  (void)setpriority(PRIO_PROCESS, thread, 19);
  (void)syscall(SYS_ioprio_set, kIoprioWhoProcess, thread, kIoprioClassIdle);
}

}  // namespace

LayerMeter::~LayerMeter() {
  std::thread thread;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

std::optional<LayerUsage> LayerMeter::Get(const std::string& container, const std::string& folder) {
  absl::MutexLock lock(&mutex_);
  Layer& layer = layers_[container];
  if (!layer.queued && !stopping_ && absl::Now() >= layer.due) {
    layer.queued = StartThread();
    if (layer.queued) queue_.push_back({container, folder});
  }
  return layer.last;
}

// False if the system has no thread to give; the next call tries again.
bool LayerMeter::StartThread() {
  if (thread_.joinable()) return true;
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error& error) {
    LOG_WARN("writable layers are not measured: no thread for it: {}", error.what());
  }
  return thread_.joinable();
}

void LayerMeter::Forget(const std::string& container) {
  absl::MutexLock lock(&mutex_);
  layers_.erase(container);
}

void LayerMeter::Run() {
  BecomeIdle();
  while (true) {
    Task task;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &LayerMeter::HasWork));
      if (stopping_) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    Measure(task);
  }
}

void LayerMeter::Measure(const Task& task) {
  const absl::Time start = absl::Now();
  const absl::StatusOr<DiskUsage> usage =
      MeasureFolder(task.folder, kPace, [this] { return Pause(); });
  const absl::Time end = absl::Now();
  absl::MutexLock lock(&mutex_);
  const auto found = layers_.find(task.container);
  if (found == layers_.end()) return;
  if (!usage.ok()) {
    // The container has been removed while somebody asked.
    layers_.erase(found);
    return;
  }
  found->second.queued = false;
  found->second.last = LayerUsage{*usage, absl::ToUnixNanos(end)};
  found->second.due = end + std::max(kFresh, kShareOfTime * (end - start));
}

bool LayerMeter::Pause() {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kPause);
  return !stopping_;
}

}  // namespace crisp
