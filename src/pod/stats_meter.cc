#include "pod/stats_meter.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "absl/time/clock.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr size_t kLinksBytes = 32 << 10;
// A shorter span makes a rate of noise; a longer one says nothing of late.
constexpr absl::Duration kShortestSpan = absl::Seconds(1);
constexpr absl::Duration kLongestSpan = absl::Minutes(2);

// The file net/dev of a process that is in the namespace pinned at the path, or none. Both are
// looked up through one open folder of the process, so that a number which is used again meanwhile
// does not lead to another process.
UniqueFd OpenLinks(const struct stat& netns, pid_t pid) {
  UniqueFd process(open(Cat("/proc/", pid).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat info;
  if (!process.valid() || fstatat(process.get(), "ns/net", &info, 0) != 0) return UniqueFd();
  if (info.st_dev != netns.st_dev || info.st_ino != netns.st_ino) return UniqueFd();
  return UniqueFd(openat(process.get(), "net/dev", O_RDONLY | O_CLOEXEC));
}

UniqueFd OpenLinks(const std::string& netns_path, const std::vector<pid_t>& pids) {
  struct stat netns;
  if (stat(netns_path.c_str(), &netns) != 0) return UniqueFd();
  for (const pid_t pid : pids) {
    if (UniqueFd links = OpenLinks(netns, pid); links.valid()) return links;
  }
  return UniqueFd();
}

}  // namespace

void StatsMeter::UpdateRate(uint64_t usage, absl::Time now) {
  const absl::Duration span = now - rate_since_;
  if (span >= absl::ZeroDuration() && span < kShortestSpan) return;
  nano_cores_.reset();
  if (span > absl::ZeroDuration() && span <= kLongestSpan && usage >= usage_then_) {
    nano_cores_ = static_cast<uint64_t>(static_cast<double>(usage - usage_then_) /
                                        absl::ToDoubleSeconds(span));
  }
  rate_since_ = now;
  usage_then_ = usage;
}

StatsReading StatsMeter::Read(const CgroupTree& tree, const std::string& cgroup_path,
                              DescriptorBudget& budget, StatsDetail detail) {
  StatsReading reading;
  absl::MutexLock lock(&mutex_);
  const absl::Time now = absl::Now();
  reading.time = absl::ToUnixNanos(now);
  if (ended_) return reading;
  if (stats_ == nullptr) stats_ = std::make_unique<CgroupStats>(tree, cgroup_path, budget);
  reading.running = stats_->Read(detail, reading.figures);
  if (reading.figures.cpu_usage) UpdateRate(*reading.figures.cpu_usage, now);
  reading.nano_cores = nano_cores_;
  return reading;
}

bool StatsMeter::ReadLinks(const std::string& netns_path, const std::vector<pid_t>& pids,
                           DescriptorBudget& budget,
                           const std::function<void(const LinkFigures&)>& see) {
  absl::MutexLock lock(&mutex_);
  if (ended_) return false;
  UniqueFd opened;
  if (!links_.valid()) opened = OpenLinks(netns_path, pids);
  const int fd = links_.valid() ? links_.get() : opened.get();
  char buffer[kLinksBytes];
  const ssize_t bytes = fd < 0 ? -1 : ReadWhole(fd, buffer, sizeof(buffer));
  if (bytes < 0) return false;
  if (opened.valid() && budget.Take()) {
    links_ = std::move(opened);
    links_budget_ = &budget;
  }
  for (const LinkFigures& link : ParseNetDev({buffer, static_cast<size_t>(bytes)})) see(link);
  return true;
}

void StatsMeter::End() {
  absl::MutexLock lock(&mutex_);
  ended_ = true;
  stats_.reset();
  if (links_.valid()) links_budget_->Give();
  links_.reset();
}

}  // namespace crisp
