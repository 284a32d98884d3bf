// CgroupStats: the figures of one cgroup, of whichever version each controller is. Its files are
// opened when they are first read and kept open, so that a reading is one pread a file into a
// buffer on the stack. One thread at a time an object; never waits for anything but the kernel.
// Borrows the CgroupTree and the DescriptorBudget.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "kernel/cgroup_tree.h"
#include "kernel/stat_text.h"

namespace crisp {

// How many descriptors may be kept for statistics in all; beyond it files are opened for each
// reading. Any thread.
class DescriptorBudget {
 public:
  explicit DescriptorBudget(int64_t limit) : left_(limit) {}
  // Half of what the process may ever have.
  static int64_t HalfOfLimit();
  bool Take();
  void Give() { left_.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> left_;
};

struct HugePageFigures {
  std::string size;  // "2MB"
  Figure usage;
  Figure max_usage;
};

// nullopt: this kernel or cgroup version does not tell. All figures include the cgroups below.
struct CgroupFigures {
  // Processor time in nanoseconds; periods of the bandwidth limit.
  Figure cpu_usage, cpu_user, cpu_system;
  Figure periods, throttled_periods, throttled_time;
  std::optional<Pressure> cpu_pressure, memory_pressure, io_pressure;
  // Bytes, and counts of events.
  Figure memory, memory_limit, memory_max_usage;
  Figure anonymous, file_cache, mapped_file, active_file, inactive_file, kernel_memory;
  Figure page_faults, major_page_faults, limit_hits, oom_kills;
  Figure swap, swap_limit;  // swap alone, without memory
  Figure tasks, tasks_limit;
  std::vector<DeviceFigures> devices;
  std::vector<HugePageFigures> huge_pages;

  // Usage without the file cache that could be dropped at once; nullopt if usage is not known.
  Figure WorkingSet() const;
};

enum class StatsDetail {
  kUsage,  // what ContainerStats tells
  kAll,    // also what only metrics tell
};

class CgroupStats {
 public:
  // `path` as for Cgroup: relative to each hierarchy's mount.
  CgroupStats(const CgroupTree& tree, std::string path, DescriptorBudget& budget);
  ~CgroupStats();
  CgroupStats(const CgroupStats&) = delete;
  CgroupStats& operator=(const CgroupStats&) = delete;

  // False, with nothing filled, if the cgroup does not exist (yet or any more).
  bool Read(StatsDetail detail, CgroupFigures& figures);

  // How many descriptors it keeps. For tests.
  size_t open_files() const;

 private:
  struct Source;
  static const Source kSources[];
  struct File {
    const Source* source;
    const CgroupHierarchy* hierarchy;
    UniqueFd fd;
    int misses = 0;  // how often the folder was there and the file was not
  };
  bool Applies(const Source& source, const CgroupHierarchy& hierarchy) const;
  UniqueFd Open(File& file) const;
  bool ReadInto(File& file, CgroupFigures& figures);
  void ReadHugePages(CgroupFigures& figures) const;
  bool Exists() const;

  const CgroupTree& tree_;
  const std::string path_;
  DescriptorBudget& budget_;
  std::vector<File> files_;
};

// All of a pseudo file from its start, at most `size` bytes; what was read, or -1 with errno.
ssize_t ReadWhole(int fd, char* buffer, size_t size);

}  // namespace crisp
