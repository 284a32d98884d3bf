// Samples: durations by name, and what a reader wants of them. Any thread may add.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace crisp {

struct Summary {
  size_t count = 0;
  double median_ms = 0;
  double p95_ms = 0;
  double min_ms = 0;
  double max_ms = 0;
};

Summary Summarize(std::vector<double> milliseconds);

class Samples {
 public:
  void Add(const std::string& name, absl::Duration duration);
  // Names in the order of their first sample.
  std::vector<std::pair<std::string, Summary>> Summaries() const;
  // The median in milliseconds, or 0 if there is no sample of that name.
  double Median(const std::string& name) const;

 private:
  mutable absl::Mutex mutex_;
  std::vector<std::string> names_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<double>> values_ ABSL_GUARDED_BY(mutex_);
};

// Runs work and returns how long it took.
template <typename Work>
absl::Duration Timed(Work&& work) {
  const absl::Time start = absl::Now();
  work();
  return absl::Now() - start;
}

}  // namespace crisp
