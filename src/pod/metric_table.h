// The metrics of ListPodSandboxMetrics as tables: name, help, kind, labels, and how the values come
// out of a reading. Names and labels are those that cAdvisor made common, so that dashboards and
// alerts go on. Immutable; any thread.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/cri.pb.h"
#include "api/record.pb.h"
#include "kernel/process_stats.h"
#include "pod/layer_meter.h"
#include "pod/stats_meter.h"

namespace crisp {

// Labels that every metric has; their values come first, in this order.
inline constexpr const char* kCommonLabels[] = {"pod", "namespace", "container", "id", "image"};

// The file system that holds the writable layers.
struct DiskSpace {
  std::string device;  // "/dev/sda1", or "8:1" where it has no name
  uint64_t bytes = 0;
  uint64_t inodes = 0;
  uint64_t free_inodes = 0;
};
// Of the file system that holds the path; zeros if it cannot be asked.
DiskSpace DiskSpaceAt(const std::string& path);

// All that a container's metrics are made of.
struct MetricSource {
  const record::Container& container;
  const StatsReading& reading;
  const ProcessFigures& processes;
  Figure open_files_limit;
  const std::optional<LayerUsage>& layer;
  const DiskSpace& disk;
};

// Takes values of one metric: adds each to the list with the common labels and its own.
class MetricSink {
 public:
  using List = google::protobuf::RepeatedPtrField<::runtime::v1::Metric>;
  // The values of kCommonLabels.
  MetricSink(List& list, std::vector<std::string> common, int64_t time)
      : list_(list), common_(std::move(common)), time_(time) {}

  void Begin(const char* name, ::runtime::v1::MetricType type) {
    name_ = name;
    type_ = type;
  }
  void Add(uint64_t value, std::initializer_list<std::string_view> labels = {});
  // Nothing if it is not known.
  void Add(const Figure& value) {
    if (value) Add(*value);
  }

 private:
  List& list_;
  const std::vector<std::string> common_;
  const int64_t time_;
  const char* name_ = "";
  ::runtime::v1::MetricType type_ = ::runtime::v1::COUNTER;
};

struct ContainerMetric {
  const char* name;
  const char* help;
  ::runtime::v1::MetricType type;
  std::vector<const char*> labels;  // besides the common ones
  void (*emit)(const MetricSource& source, MetricSink& sink);
};
std::span<const ContainerMetric> ContainerMetricTable();

// Metrics of a pod's interfaces; their own label is the interface.
struct LinkMetric {
  const char* name;
  const char* help;
  uint64_t LinkFigures::*figure;
};
std::span<const LinkMetric> LinkMetricTable();

}  // namespace crisp
