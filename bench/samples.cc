#include "bench/samples.h"

#include <algorithm>
#include <cmath>

namespace crisp {

namespace {

// The smallest value that at least this share of the sorted values does not exceed.
double Percentile(const std::vector<double>& sorted, double share) {
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(rank, 1) - 1];
}

double MedianOf(const std::vector<double>& sorted) {
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

}  // namespace

Summary Summarize(std::vector<double> milliseconds) {
  Summary summary;
  summary.count = milliseconds.size();
  if (milliseconds.empty()) return summary;
  std::sort(milliseconds.begin(), milliseconds.end());
  summary.median_ms = MedianOf(milliseconds);
  summary.p95_ms = Percentile(milliseconds, 0.95);
  summary.min_ms = milliseconds.front();
  summary.max_ms = milliseconds.back();
  return summary;
}

void Samples::Add(const std::string& name, absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  std::vector<double>& values = values_[name];
  if (values.empty()) names_.push_back(name);
  values.push_back(absl::ToDoubleMilliseconds(duration));
}

std::vector<std::pair<std::string, Summary>> Samples::Summaries() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::pair<std::string, Summary>> all;
  for (const std::string& name : names_) all.emplace_back(name, Summarize(values_.at(name)));
  return all;
}

double Samples::Median(const std::string& name) const {
  absl::MutexLock lock(&mutex_);
  const auto found = values_.find(name);
  return found == values_.end() ? 0 : Summarize(found->second).median_ms;
}

}  // namespace crisp
