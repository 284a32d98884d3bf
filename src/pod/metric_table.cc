#include "pod/metric_table.h"

#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/text.h"

namespace crisp {

namespace v1 = ::runtime::v1;

namespace {

constexpr uint64_t kNanos = 1'000'000'000;
constexpr uint64_t kMicros = 1'000'000;
constexpr int64_t kDefaultPeriod = 100'000;  // the kernel's, in microseconds

std::string DeviceName(uint32_t major, uint32_t minor) {
  const std::string number = Cat(major, ":", minor);
  char target[PATH_MAX];
  const ssize_t size = readlink(Cat("/sys/dev/block/", number).c_str(), target, sizeof(target));
  if (size <= 0) return number;
  return Cat("/dev/", BaseName(std::string_view(target, static_cast<size_t>(size))));
}

// Metrics carry whole numbers: time is told in whole seconds.
Figure Seconds(const Figure& nanoseconds) {
  return nanoseconds ? Figure(*nanoseconds / kNanos) : std::nullopt;
}

template <Figure CgroupFigures::*figure>
void Plain(const MetricSource& source, MetricSink& sink) {
  sink.Add(source.reading.figures.*figure);
}

template <Figure CgroupFigures::*figure>
void Time(const MetricSource& source, MetricSink& sink) {
  sink.Add(Seconds(source.reading.figures.*figure));
}

template <std::optional<Pressure> CgroupFigures::*figure, PressureLine Pressure::*line>
void Stalled(const MetricSource& source, MetricSink& sink) {
  const std::optional<Pressure>& pressure = source.reading.figures.*figure;
  if (pressure) sink.Add(((*pressure).*line).total_us / kMicros);
}

template <uint64_t DeviceFigures::*figure>
void OfDevices(const MetricSource& source, MetricSink& sink) {
  for (const DeviceFigures& device : source.reading.figures.devices) {
    sink.Add(device.*figure, {DeviceName(device.major, device.minor)});
  }
}

void DeviceUsage(const MetricSource& source, MetricSink& sink) {
  for (const DeviceFigures& device : source.reading.figures.devices) {
    const std::string name = DeviceName(device.major, device.minor);
    const std::string major = Cat(device.major);
    const std::string minor = Cat(device.minor);
    sink.Add(device.read_bytes, {name, major, minor, "Read"});
    sink.Add(device.write_bytes, {name, major, minor, "Write"});
  }
}

template <Figure HugePageFigures::*figure>
void OfHugePages(const MetricSource& source, MetricSink& sink) {
  for (const HugePageFigures& pages : source.reading.figures.huge_pages) {
    if (pages.*figure) sink.Add(*(pages.*figure), {pages.size});
  }
}

void Failures(const MetricSource& source, MetricSink& sink) {
  const CgroupFigures& figures = source.reading.figures;
  for (const char* scope : {"container", "hierarchy"}) {
    if (figures.page_faults) sink.Add(*figures.page_faults, {"pgfault", scope});
    if (figures.major_page_faults) sink.Add(*figures.major_page_faults, {"pgmajfault", scope});
  }
}

template <uint64_t ProcessFigures::*figure>
void OfProcesses(const MetricSource& source, MetricSink& sink) {
  sink.Add(source.processes.*figure);
}

template <uint64_t DiskSpace::*figure>
void OfDisk(const MetricSource& source, MetricSink& sink) {
  sink.Add(source.disk.*figure, {source.disk.device});
}

// What was asked for, 0 or less if nothing was.
template <int64_t (v1::LinuxContainerResources::*asked)() const>
void Asked(const MetricSource& source, MetricSink& sink) {
  const int64_t value = (source.container.resources().*asked)();
  sink.Add(value > 0 ? static_cast<uint64_t>(value) : 0);
}

const std::vector<ContainerMetric>& Rows() {
  using F = CgroupFigures;
  using R = v1::LinuxContainerResources;
  constexpr auto kCounter = v1::COUNTER;
  constexpr auto kGauge = v1::GAUGE;
  // clang-format off: a row is a row
  static const auto* const kRows = new std::vector<ContainerMetric>{
      {"container_cpu_user_seconds_total",
       "Processor time in user mode",
       kCounter,
       {},
       Time<&F::cpu_user>},
      {"container_cpu_system_seconds_total",
       "Processor time in the kernel",
       kCounter,
       {},
       Time<&F::cpu_system>},
      {"container_cpu_usage_seconds_total", "Processor time", kCounter, {}, Time<&F::cpu_usage>},
      {"container_cpu_cfs_periods_total",
       "Periods of the processor limit that have passed",
       kCounter,
       {},
       Plain<&F::periods>},
      {"container_cpu_cfs_throttled_periods_total",
       "Periods in which the limit was reached",
       kCounter,
       {},
       Plain<&F::throttled_periods>},
      {"container_cpu_cfs_throttled_seconds_total",
       "Time that was waited for the next period",
       kCounter,
       {},
       Time<&F::throttled_time>},
      {"container_memory_cache", "Bytes of file cache", kGauge, {}, Plain<&F::file_cache>},
      {"container_memory_rss", "Bytes of anonymous memory", kGauge, {}, Plain<&F::anonymous>},
      {"container_memory_kernel_usage",
       "Bytes of kernel memory",
       kGauge,
       {},
       Plain<&F::kernel_memory>},
      {"container_memory_mapped_file", "Bytes of mapped files", kGauge, {}, Plain<&F::mapped_file>},
      {"container_memory_swap", "Bytes in swap space", kGauge, {}, Plain<&F::swap>},
      {"container_memory_failcnt",
       "How often the memory limit was hit",
       kCounter,
       {},
       Plain<&F::limit_hits>},
      {"container_memory_usage_bytes",
       "Memory, file cache included",
       kGauge,
       {},
       Plain<&F::memory>},
      {"container_memory_max_usage_bytes",
       "The most memory there has been",
       kGauge,
       {},
       Plain<&F::memory_max_usage>},
      {"container_memory_working_set_bytes",
       "Memory without file cache that is not in use",
       kGauge,
       {},
       [](const MetricSource& source, MetricSink& sink) {
         sink.Add(source.reading.figures.WorkingSet());
       }},
      {"container_memory_total_active_file_bytes",
       "Bytes of file cache in use",
       kGauge,
       {},
       Plain<&F::active_file>},
      {"container_memory_total_inactive_file_bytes",
       "Bytes of file cache not in use",
       kGauge,
       {},
       Plain<&F::inactive_file>},
      {"container_memory_failures_total",
       "Page faults",
       kCounter,
       {"failure_type", "scope"},
       Failures},
      {"container_oom_events_total",
       "Processes killed for want of memory",
       kCounter,
       {},
       Plain<&F::oom_kills>},
      {"container_fs_inodes_free",
       "Free inodes of the file system",
       kGauge,
       {"device"},
       OfDisk<&DiskSpace::free_inodes>},
      {"container_fs_inodes_total",
       "Inodes of the file system",
       kGauge,
       {"device"},
       OfDisk<&DiskSpace::inodes>},
      {"container_fs_limit_bytes",
       "Size of the file system",
       kGauge,
       {"device"},
       OfDisk<&DiskSpace::bytes>},
      {"container_fs_usage_bytes",
       "Bytes of the writable layer",
       kGauge,
       {"device"},
       [](const MetricSource& source, MetricSink& sink) {
         if (source.layer) sink.Add(source.layer->usage.bytes, {source.disk.device});
       }},
      {"container_fs_reads_total",
       "Read operations",
       kCounter,
       {"device"},
       OfDevices<&DeviceFigures::reads>},
      {"container_fs_reads_bytes_total",
       "Bytes read",
       kCounter,
       {"device"},
       OfDevices<&DeviceFigures::read_bytes>},
      {"container_fs_writes_total",
       "Write operations",
       kCounter,
       {"device"},
       OfDevices<&DeviceFigures::writes>},
      {"container_fs_writes_bytes_total",
       "Bytes written",
       kCounter,
       {"device"},
       OfDevices<&DeviceFigures::write_bytes>},
      {"container_blkio_device_usage_total",
       "Bytes read and written, by device",
       kCounter,
       {"device", "major", "minor", "operation"},
       DeviceUsage},
      {"container_processes", "Processes", kGauge, {}, OfProcesses<&ProcessFigures::processes>},
      {"container_threads", "Threads", kGauge, {}, Plain<&F::tasks>},
      {"container_threads_max",
       "Limit of threads; absent: none",
       kGauge,
       {},
       Plain<&F::tasks_limit>},
      {"container_file_descriptors",
       "Open file descriptors",
       kGauge,
       {},
       OfProcesses<&ProcessFigures::descriptors>},
      {"container_sockets", "Open sockets", kGauge, {}, OfProcesses<&ProcessFigures::sockets>},
      {"container_ulimits_soft",
       "Soft limits of the first process",
       kGauge,
       {"ulimit"},
       [](const MetricSource& source, MetricSink& sink) {
         if (source.open_files_limit) sink.Add(*source.open_files_limit, {"max_open_files"});
       }},
      {"container_last_seen",
       "When these figures were read, Unix time",
       kGauge,
       {},
       [](const MetricSource& source, MetricSink& sink) {
         sink.Add(static_cast<uint64_t>(source.reading.time) / kNanos);
       }},
      {"container_start_time_seconds",
       "When it was started, Unix time",
       kGauge,
       {},
       [](const MetricSource& source, MetricSink& sink) {
         sink.Add(static_cast<uint64_t>(source.container.started_at()) / kNanos);
       }},
      {"container_spec_cpu_period",
       "Period of the processor limit, microseconds",
       kGauge,
       {},
       [](const MetricSource& source, MetricSink& sink) {
         const int64_t period = source.container.resources().cpu_period();
         sink.Add(static_cast<uint64_t>(period > 0 ? period : kDefaultPeriod));
       }},
      {"container_spec_cpu_shares",
       "Weight at the processor; 0: none was asked for",
       kGauge,
       {},
       Asked<&R::cpu_shares>},
      {"container_spec_cpu_quota",
       "Microseconds in a period; absent: no limit",
       kGauge,
       {},
       [](const MetricSource& source, MetricSink& sink) {
         const int64_t quota = source.container.resources().cpu_quota();
         if (quota > 0) sink.Add(static_cast<uint64_t>(quota));
       }},
      {"container_spec_memory_limit_bytes",
       "Memory limit; 0: none",
       kGauge,
       {},
       Asked<&R::memory_limit_in_bytes>},
      {"container_spec_memory_reservation_limit_bytes",
       "Memory kept back; the CRI knows none",
       kGauge,
       {},
       [](const MetricSource&, MetricSink& sink) { sink.Add(0); }},
      {"container_spec_memory_swap_limit_bytes",
       "Limit of memory and swap; 0: none",
       kGauge,
       {},
       Asked<&R::memory_swap_limit_in_bytes>},
      {"container_hugetlb_usage_bytes",
       "Bytes of huge pages",
       kGauge,
       {"pagesize"},
       OfHugePages<&HugePageFigures::usage>},
      {"container_hugetlb_max_usage_bytes",
       "The most bytes of huge pages there have been",
       kGauge,
       {"pagesize"},
       OfHugePages<&HugePageFigures::max_usage>},
      {"container_pressure_cpu_waiting_seconds_total",
       "Time that some task waited for a processor",
       kCounter,
       {},
       Stalled<&F::cpu_pressure, &Pressure::some>},
      {"container_pressure_cpu_stalled_seconds_total",
       "Time that all tasks waited for a processor",
       kCounter,
       {},
       Stalled<&F::cpu_pressure, &Pressure::full>},
      {"container_pressure_memory_waiting_seconds_total",
       "Time that some task waited for memory",
       kCounter,
       {},
       Stalled<&F::memory_pressure, &Pressure::some>},
      {"container_pressure_memory_stalled_seconds_total",
       "Time that all tasks waited for memory",
       kCounter,
       {},
       Stalled<&F::memory_pressure, &Pressure::full>},
      {"container_pressure_io_waiting_seconds_total",
       "Time that some task waited for a disk",
       kCounter,
       {},
       Stalled<&F::io_pressure, &Pressure::some>},
      {"container_pressure_io_stalled_seconds_total",
       "Time that all tasks waited for a disk",
       kCounter,
       {},
       Stalled<&F::io_pressure, &Pressure::full>},
  };
  // clang-format on
  return *kRows;
}

constexpr LinkMetric kLinkRows[] = {
    {"container_network_receive_bytes_total", "Bytes received", &LinkFigures::rx_bytes},
    {"container_network_receive_packets_total", "Packets received", &LinkFigures::rx_packets},
    {"container_network_receive_packets_dropped_total", "Packets dropped while receiving",
     &LinkFigures::rx_dropped},
    {"container_network_receive_errors_total", "Errors while receiving", &LinkFigures::rx_errors},
    {"container_network_transmit_bytes_total", "Bytes sent", &LinkFigures::tx_bytes},
    {"container_network_transmit_packets_total", "Packets sent", &LinkFigures::tx_packets},
    {"container_network_transmit_packets_dropped_total", "Packets dropped while sending",
     &LinkFigures::tx_dropped},
    {"container_network_transmit_errors_total", "Errors while sending", &LinkFigures::tx_errors},
};

}  // namespace

DiskSpace DiskSpaceAt(const std::string& path) {
  DiskSpace disk;
  struct stat info;
  struct statvfs space;
  if (stat(path.c_str(), &info) != 0 || statvfs(path.c_str(), &space) != 0) return disk;
  disk.device = DeviceName(major(info.st_dev), minor(info.st_dev));
  disk.bytes = space.f_blocks * space.f_frsize;
  disk.inodes = space.f_files;
  disk.free_inodes = space.f_ffree;
  return disk;
}

void MetricSink::Add(uint64_t value, std::initializer_list<std::string_view> labels) {
  v1::Metric& metric = *list_.Add();
  metric.set_name(name_);
  metric.set_timestamp(time_);
  metric.set_metric_type(type_);
  metric.mutable_label_values()->Reserve(static_cast<int>(common_.size() + labels.size()));
  for (const std::string& label : common_) metric.add_label_values(label);
  for (const std::string_view label : labels) metric.add_label_values(std::string(label));
  metric.mutable_value()->set_value(value);
}

std::span<const ContainerMetric> ContainerMetricTable() { return Rows(); }

std::span<const LinkMetric> LinkMetricTable() { return kLinkRows; }

}  // namespace crisp
