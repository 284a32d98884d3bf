#include "kernel/cgroup_stats.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

#include "base/file.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr size_t kBufferBytes = 16 << 10;
// The kernel hands out a file of one piece whole; only a longer one may come in several.
constexpr ssize_t kSurelyOnePiece = 1024;
constexpr int kEnoughMisses = 3;  // then a file is not looked for any more

Figure Times(Figure figure, uint64_t factor) {
  if (figure) *figure *= factor;
  return figure;
}

void ParseCpuStatV1(std::string_view text, CgroupFigures& out) {
  const KeyedFigure wanted[] = {{"nr_periods", &out.periods},
                                {"nr_throttled", &out.throttled_periods},
                                {"throttled_time", &out.throttled_time}};
  ParseKeyed(text, wanted);
}

void ParseCpuStatV2(std::string_view text, CgroupFigures& out) {
  const KeyedFigure wanted[] = {
      {"usage_usec", &out.cpu_usage},           {"user_usec", &out.cpu_user},
      {"system_usec", &out.cpu_system},         {"nr_periods", &out.periods},
      {"nr_throttled", &out.throttled_periods}, {"throttled_usec", &out.throttled_time}};
  ParseKeyed(text, wanted);
  for (Figure* figure : {&out.cpu_usage, &out.cpu_user, &out.cpu_system, &out.throttled_time}) {
    *figure = Times(*figure, 1000);
  }
}

void ParseMemoryStatV1(std::string_view text, CgroupFigures& out) {
  Figure with_swap;
  Figure memory;
  const KeyedFigure wanted[] = {{"hierarchical_memory_limit", &memory},
                                {"hierarchical_memsw_limit", &with_swap},
                                {"total_cache", &out.file_cache},
                                {"total_rss", &out.anonymous},
                                {"total_mapped_file", &out.mapped_file},
                                {"total_swap", &out.swap},
                                {"total_pgfault", &out.page_faults},
                                {"total_pgmajfault", &out.major_page_faults},
                                {"total_inactive_file", &out.inactive_file},
                                {"total_active_file", &out.active_file}};
  ParseKeyed(text, wanted);
  constexpr uint64_t kNoLimit = uint64_t{1} << 62;
  if (memory && *memory < kNoLimit) out.memory_limit = memory;
  if (out.memory_limit && with_swap && *with_swap < kNoLimit && *with_swap >= *memory) {
    out.swap_limit = *with_swap - *memory;
  }
}

void ParseMemoryStatV2(std::string_view text, CgroupFigures& out) {
  const KeyedFigure wanted[] = {
      {"anon", &out.anonymous},          {"file", &out.file_cache},
      {"kernel", &out.kernel_memory},    {"file_mapped", &out.mapped_file},
      {"pgfault", &out.page_faults},     {"pgmajfault", &out.major_page_faults},
      {"active_file", &out.active_file}, {"inactive_file", &out.inactive_file}};
  ParseKeyed(text, wanted);
}

void ParseMemoryEvents(std::string_view text, CgroupFigures& out) {
  const KeyedFigure wanted[] = {{"max", &out.limit_hits}, {"oom_kill", &out.oom_kills}};
  ParseKeyed(text, wanted);
}

void ParseOomControl(std::string_view text, CgroupFigures& out) {
  const KeyedFigure wanted[] = {{"oom_kill", &out.oom_kills}};
  ParseKeyed(text, wanted);
}

template <Figure CgroupFigures::*figure>
void Number(std::string_view text, CgroupFigures& out) {
  out.*figure = ParseFigure(text);
}

template <Figure CgroupFigures::*figure>
void Limit(std::string_view text, CgroupFigures& out) {
  out.*figure = ParseLimit(text);
}

template <std::optional<Pressure> CgroupFigures::*figure>
void Stalls(std::string_view text, CgroupFigures& out) {
  out.*figure = ParsePressure(text);
}

// "2048kB" -> "2MB", as the kernel calls the size in the names of cgroup files.
std::string HugePageName(std::string_view size) {
  uint64_t kib = 0;
  std::from_chars(size.data(), size.data() + size.size(), kib);
  if (kib >= 1 << 20) return Cat(kib >> 20, "GB");
  return kib >= 1 << 10 ? Cat(kib >> 10, "MB") : Cat(kib, "KB");
}

std::vector<std::string> HugePageSizes() {
  std::vector<std::string> sizes;
  std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir("/sys/kernel/mm/hugepages"), closedir);
  while (const dirent* entry = folder == nullptr ? nullptr : readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    constexpr std::string_view kPrefix = "hugepages-";
    if (name.starts_with(kPrefix)) sizes.push_back(HugePageName(name.substr(kPrefix.size())));
  }
  std::sort(sizes.begin(), sizes.end());
  return sizes;
}

Figure FigureIn(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, 4096);
  return text.ok() ? ParseFigure(*text) : std::nullopt;
}

}  // namespace

int64_t DescriptorBudget::HalfOfLimit() {
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return 512;
  if (files.rlim_max == RLIM_INFINITY) return int64_t{1} << 30;
  return static_cast<int64_t>(files.rlim_max / 2);
}

bool DescriptorBudget::Take() {
  if (left_.fetch_sub(1, std::memory_order_relaxed) > 0) return true;
  Give();
  return false;
}

Figure CgroupFigures::WorkingSet() const {
  if (!memory) return std::nullopt;
  const uint64_t idle = inactive_file.value_or(0);
  return *memory > idle ? *memory - idle : 0;
}

// A file, which of the versions has it, with which controller ("": with any), and who reads it.
struct CgroupStats::Source {
  bool v2;
  const char* controller;
  const char* name;
  StatsDetail detail;
  void (*parse)(std::string_view text, CgroupFigures& out);
};

const CgroupStats::Source CgroupStats::kSources[] = {
    {false, "cpuacct", "cpuacct.usage", StatsDetail::kUsage, Number<&CgroupFigures::cpu_usage>},
    {false, "cpuacct", "cpuacct.usage_user", StatsDetail::kAll, Number<&CgroupFigures::cpu_user>},
    {false, "cpuacct", "cpuacct.usage_sys", StatsDetail::kAll, Number<&CgroupFigures::cpu_system>},
    {false, "cpu", "cpu.stat", StatsDetail::kAll, ParseCpuStatV1},
    {false, "memory", "memory.usage_in_bytes", StatsDetail::kUsage, Number<&CgroupFigures::memory>},
    {false, "memory", "memory.stat", StatsDetail::kUsage, ParseMemoryStatV1},
    {false, "memory", "memory.max_usage_in_bytes", StatsDetail::kAll,
     Number<&CgroupFigures::memory_max_usage>},
    {false, "memory", "memory.failcnt", StatsDetail::kAll, Number<&CgroupFigures::limit_hits>},
    {false, "memory", "memory.kmem.usage_in_bytes", StatsDetail::kAll,
     Number<&CgroupFigures::kernel_memory>},
    {false, "memory", "memory.oom_control", StatsDetail::kAll, ParseOomControl},
    {false, "pids", "pids.current", StatsDetail::kUsage, Number<&CgroupFigures::tasks>},
    {false, "pids", "pids.max", StatsDetail::kAll, Limit<&CgroupFigures::tasks_limit>},
    {false, "blkio", "blkio.throttle.io_service_bytes_recursive", StatsDetail::kAll,
     [](std::string_view text, CgroupFigures& out) { ParseBlkio(text, true, out.devices); }},
    {false, "blkio", "blkio.throttle.io_serviced_recursive", StatsDetail::kAll,
     [](std::string_view text, CgroupFigures& out) { ParseBlkio(text, false, out.devices); }},
    {true, "", "cpu.stat", StatsDetail::kUsage, ParseCpuStatV2},
    {true, "", "cpu.pressure", StatsDetail::kUsage, Stalls<&CgroupFigures::cpu_pressure>},
    {true, "", "memory.pressure", StatsDetail::kUsage, Stalls<&CgroupFigures::memory_pressure>},
    {true, "", "io.pressure", StatsDetail::kUsage, Stalls<&CgroupFigures::io_pressure>},
    {true, "memory", "memory.current", StatsDetail::kUsage, Number<&CgroupFigures::memory>},
    {true, "memory", "memory.stat", StatsDetail::kUsage, ParseMemoryStatV2},
    {true, "memory", "memory.max", StatsDetail::kUsage, Limit<&CgroupFigures::memory_limit>},
    {true, "memory", "memory.swap.current", StatsDetail::kUsage, Number<&CgroupFigures::swap>},
    {true, "memory", "memory.swap.max", StatsDetail::kUsage, Limit<&CgroupFigures::swap_limit>},
    {true, "memory", "memory.peak", StatsDetail::kAll, Number<&CgroupFigures::memory_max_usage>},
    {true, "memory", "memory.events", StatsDetail::kAll, ParseMemoryEvents},
    {true, "pids", "pids.current", StatsDetail::kUsage, Number<&CgroupFigures::tasks>},
    {true, "pids", "pids.max", StatsDetail::kAll, Limit<&CgroupFigures::tasks_limit>},
    {true, "io", "io.stat", StatsDetail::kAll,
     [](std::string_view text, CgroupFigures& out) { ParseIoStat(text, out.devices); }},
};

CgroupStats::CgroupStats(const CgroupTree& tree, std::string path, DescriptorBudget& budget)
    : tree_(tree), path_(CleanPath(Cat("/", path))), budget_(budget) {
  for (const Source& source : kSources) {
    for (const CgroupHierarchy& hierarchy : tree.hierarchies()) {
      if (Applies(source, hierarchy)) files_.push_back({&source, &hierarchy, UniqueFd()});
    }
  }
}

CgroupStats::~CgroupStats() {
  for (const File& file : files_) {
    if (file.fd.valid()) budget_.Give();
  }
}

bool CgroupStats::Applies(const Source& source, const CgroupHierarchy& hierarchy) const {
  if (source.v2 != hierarchy.v2) return false;
  const std::string_view controller = source.controller;
  if (!controller.empty()) return hierarchy.Has(controller);
  // Version 2 always counts processor time; beside a version 1 that does so it need not be read.
  return std::string_view(source.name) != "cpu.stat" || tree_.WithController("cpuacct") == nullptr;
}

UniqueFd CgroupStats::Open(File& file) const {
  const std::string folder = file.hierarchy->folder + path_;
  UniqueFd fd(open(Cat(folder, "/", file.source->name).c_str(), O_RDONLY | O_CLOEXEC));
  // A file appears a little after its folder; not at all if this kernel does not have it.
  if (!fd.valid() && errno == ENOENT && PathExists(folder)) ++file.misses;
  return fd;
}

bool CgroupStats::Exists() const {
  return std::any_of(
      tree_.hierarchies().begin(), tree_.hierarchies().end(),
      [&](const CgroupHierarchy& hierarchy) { return PathExists(hierarchy.folder + path_); });
}

bool CgroupStats::Read(StatsDetail detail, CgroupFigures& figures) {
  const bool any =
      std::any_of(files_.begin(), files_.end(), [](const File& file) { return file.fd.valid(); });
  if (!any && !Exists()) return false;
  bool read = false;
  for (File& file : files_) {
    if (file.source->detail == StatsDetail::kAll && detail != StatsDetail::kAll) continue;
    if (file.misses < kEnoughMisses && ReadInto(file, figures)) read = true;
  }
  if (read && detail == StatsDetail::kAll) ReadHugePages(figures);
  return read;
}

bool CgroupStats::ReadInto(File& file, CgroupFigures& figures) {
  UniqueFd opened;
  int fd = file.fd.get();
  if (fd < 0) {
    opened = Open(file);
    if (!opened.valid()) return false;
    fd = opened.get();
  }
  char buffer[kBufferBytes];
  const ssize_t bytes = ReadWhole(fd, buffer, sizeof(buffer));
  if (bytes < 0) {
    if (errno == EOPNOTSUPP) file.misses = kEnoughMisses;  // pressure figures that are turned off
    // The cgroup is gone; one of the same path may follow.
    if (errno == ENODEV && file.fd.valid()) {
      file.fd.reset();
      budget_.Give();
    }
    return false;
  }
  file.source->parse({buffer, static_cast<size_t>(bytes)}, figures);
  if (opened.valid() && budget_.Take()) file.fd = std::move(opened);
  return true;
}

// Few hosts have huge pages, fewer use them: not worth kept descriptors.
void CgroupStats::ReadHugePages(CgroupFigures& figures) const {
  const CgroupHierarchy* hierarchy = tree_.WithController("hugetlb");
  if (hierarchy == nullptr) return;
  const std::string folder = hierarchy->folder + path_;
  for (std::string& size : HugePageSizes()) {
    const std::string prefix = Cat(folder, "/hugetlb.", size);
    HugePageFigures pages{.size = std::move(size)};
    pages.usage = FigureIn(Cat(prefix, hierarchy->v2 ? ".current" : ".usage_in_bytes"));
    if (!hierarchy->v2) pages.max_usage = FigureIn(Cat(prefix, ".max_usage_in_bytes"));
    if (pages.usage) figures.huge_pages.push_back(std::move(pages));
  }
}

size_t CgroupStats::open_files() const {
  return static_cast<size_t>(std::count_if(files_.begin(), files_.end(),
                                           [](const File& file) { return file.fd.valid(); }));
}

ssize_t ReadWhole(int fd, char* buffer, size_t size) {
  size_t filled = 0;
  while (filled < size) {
    const ssize_t bytes = pread(fd, buffer + filled, size - filled, static_cast<off_t>(filled));
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) return -1;
    filled += static_cast<size_t>(bytes);
    if (bytes < kSurelyOnePiece) break;
  }
  return static_cast<ssize_t>(filled);
}

}  // namespace crisp
