#include "pod/metric_table.h"

#include <set>

#include "base/text.h"
#include "gmock/gmock.h"

namespace crisp {
namespace {

// Every name that dashboards for cAdvisor know and that the CRI's other runtimes tell.
constexpr const char* kExpected[] = {"cpu_user_seconds_total",
                                     "cpu_system_seconds_total",
                                     "cpu_usage_seconds_total",
                                     "cpu_cfs_periods_total",
                                     "cpu_cfs_throttled_periods_total",
                                     "cpu_cfs_throttled_seconds_total",
                                     "memory_cache",
                                     "memory_rss",
                                     "memory_kernel_usage",
                                     "memory_mapped_file",
                                     "memory_swap",
                                     "memory_failcnt",
                                     "memory_usage_bytes",
                                     "memory_max_usage_bytes",
                                     "memory_working_set_bytes",
                                     "memory_total_active_file_bytes",
                                     "memory_total_inactive_file_bytes",
                                     "memory_failures_total",
                                     "oom_events_total",
                                     "network_receive_bytes_total",
                                     "network_receive_packets_total",
                                     "network_receive_packets_dropped_total",
                                     "network_receive_errors_total",
                                     "network_transmit_bytes_total",
                                     "network_transmit_packets_total",
                                     "network_transmit_packets_dropped_total",
                                     "network_transmit_errors_total",
                                     "fs_inodes_free",
                                     "fs_inodes_total",
                                     "fs_limit_bytes",
                                     "fs_usage_bytes",
                                     "fs_reads_total",
                                     "fs_reads_bytes_total",
                                     "fs_writes_total",
                                     "fs_writes_bytes_total",
                                     "blkio_device_usage_total",
                                     "processes",
                                     "threads",
                                     "threads_max",
                                     "file_descriptors",
                                     "sockets",
                                     "ulimits_soft",
                                     "last_seen",
                                     "start_time_seconds",
                                     "spec_cpu_period",
                                     "spec_cpu_shares",
                                     "spec_cpu_quota",
                                     "spec_memory_limit_bytes",
                                     "spec_memory_reservation_limit_bytes",
                                     "spec_memory_swap_limit_bytes",
                                     "hugetlb_usage_bytes",
                                     "hugetlb_max_usage_bytes",
                                     "pressure_cpu_waiting_seconds_total",
                                     "pressure_cpu_stalled_seconds_total",
                                     "pressure_memory_waiting_seconds_total",
                                     "pressure_memory_stalled_seconds_total",
                                     "pressure_io_waiting_seconds_total",
                                     "pressure_io_stalled_seconds_total"};

TEST(MetricTable, HasEveryNameOnce) {
  std::multiset<std::string> names;
  for (const ContainerMetric& metric : ContainerMetricTable()) names.insert(metric.name);
  for (const LinkMetric& metric : LinkMetricTable()) names.insert(metric.name);
  for (const char* name : kExpected) EXPECT_EQ(names.count(Cat("container_", name)), 1u) << name;
  EXPECT_EQ(names.size(), std::size(kExpected));
}

// With everything known, each metric has values, with as many labels as it says.
TEST(MetricTable, ValuesHaveTheLabelsOfTheirMetric) {
  record::Container container;
  container.set_started_at(5'000'000'000);
  container.mutable_resources()->set_cpu_quota(20000);
  StatsReading reading;
  reading.time = 9'000'000'000;
  CgroupFigures& figures = reading.figures;
  for (Figure* figure :
       {&figures.cpu_usage, &figures.cpu_user, &figures.cpu_system, &figures.throttled_time}) {
    *figure = 3'500'000'000;
  }
  for (Figure* figure :
       {&figures.periods, &figures.throttled_periods, &figures.memory, &figures.memory_max_usage,
        &figures.anonymous, &figures.file_cache, &figures.mapped_file, &figures.active_file,
        &figures.inactive_file, &figures.kernel_memory, &figures.page_faults,
        &figures.major_page_faults, &figures.limit_hits, &figures.oom_kills, &figures.swap,
        &figures.tasks, &figures.tasks_limit}) {
    *figure = 7;
  }
  figures.cpu_pressure = figures.memory_pressure = figures.io_pressure =
      Pressure{.some = {.total_us = 2'000'000}, .full = {.total_us = 1'000'000}};
  figures.devices = {{.major = 4095, .minor = 1, .reads = 1, .read_bytes = 4096}};
  figures.huge_pages = {{.size = "2MB", .usage = 1, .max_usage = 2}};
  const std::optional<LayerUsage> layer = LayerUsage{{.bytes = 11, .inodes = 2}, 1};
  const DiskSpace disk{.device = "/dev/disk", .bytes = 100, .inodes = 10, .free_inodes = 5};
  const MetricSource source{container, reading, {.processes = 1}, 1024, layer, disk};
  for (const ContainerMetric& metric : ContainerMetricTable()) {
    MetricSink::List list;
    MetricSink sink(list, {"pod", "namespace", "container", "id", "image"}, reading.time);
    sink.Begin(metric.name, metric.type);
    metric.emit(source, sink);
    EXPECT_GT(list.size(), 0) << metric.name;
    for (const auto& value : list) {
      EXPECT_EQ(value.name(), metric.name);
      EXPECT_EQ(static_cast<size_t>(value.label_values_size()), 5 + metric.labels.size())
          << metric.name;
      EXPECT_EQ(value.label_values(2), "container");
      EXPECT_EQ(value.timestamp(), reading.time);
    }
    if (std::string_view(metric.name) == "container_cpu_usage_seconds_total") {
      EXPECT_EQ(list[0].value().value(), 3u);
    }
    if (std::string_view(metric.name) == "container_blkio_device_usage_total") {
      EXPECT_EQ(list[0].label_values(5), "4095:1");  // no such device here
      EXPECT_EQ(list[0].label_values(8), "Read");
    }
  }
}

TEST(MetricTable, TheDiskIsKnown) {
  const DiskSpace disk = DiskSpaceAt("/");
  EXPECT_FALSE(disk.device.empty());
  EXPECT_GT(disk.bytes, 0u);
  EXPECT_EQ(DiskSpaceAt("/no/such/folder").bytes, 0u);
}

}  // namespace
}  // namespace crisp
