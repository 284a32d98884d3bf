// StatsMeter: reads the figures of one pod or container and remembers the reading before, which
// gives the processor's rate. It holds descriptors from the first reading until End(). Any thread;
// its lock is held for the reading itself, never across waiting.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kernel/cgroup_stats.h"

namespace crisp {

struct StatsReading {
  int64_t time = 0;      // Unix time in nanoseconds
  bool running = false;  // false: there is no cgroup, hence no figures
  CgroupFigures figures;
  Figure nano_cores;  // of late; nullopt until there are two readings
};

class StatsMeter {
 public:
  StatsReading Read(const CgroupTree& tree, const std::string& cgroup_path,
                    DescriptorBudget& budget, StatsDetail detail) ABSL_LOCKS_EXCLUDED(mutex_);
  // Calls see for every interface but lo of the network namespace that is pinned at the path. A
  // process of the pod leads there at first; false if none of them does (yet).
  bool ReadLinks(const std::string& netns_path, const std::vector<pid_t>& pids,
                 DescriptorBudget& budget, const std::function<void(const LinkFigures&)>& see)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Lets go of everything, for good: what it held keeps a namespace alive.
  void End() ABSL_LOCKS_EXCLUDED(mutex_);
  ~StatsMeter() { End(); }

 private:
  void UpdateRate(uint64_t usage, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<CgroupStats> stats_ ABSL_GUARDED_BY(mutex_);
  UniqueFd links_ ABSL_GUARDED_BY(mutex_);
  DescriptorBudget* links_budget_ ABSL_GUARDED_BY(mutex_) = nullptr;  // who counts links_
  absl::Time rate_since_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  uint64_t usage_then_ ABSL_GUARDED_BY(mutex_) = 0;
  Figure nano_cores_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp
