// ListMetricDescriptors, ListPodSandboxMetrics, StreamPodSandboxMetrics. Only what runs has
// metrics.
#include "base/status.h"
#include "pod/list_filter.h"
#include "pod/metric_table.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

// What cAdvisor calls the holder of a pod's network.
constexpr char kPodItself[] = "POD";

void AddDescriptor(v1::ListMetricDescriptorsResponse& response, const char* name, const char* help,
                   std::span<const char* const> labels) {
  v1::MetricDescriptor& descriptor = *response.add_descriptors();
  descriptor.set_name(name);
  descriptor.set_help(help);
  for (const char* label : kCommonLabels) descriptor.add_label_keys(label);
  for (const char* label : labels) descriptor.add_label_keys(label);
}

std::vector<std::string> CommonLabels(const record::Pod& pod, const std::string& container,
                                      const std::string& id, const std::string& image) {
  const v1::PodSandboxMetadata& metadata = pod.config().metadata();
  return {metadata.name(), metadata.namespace_(), container, id, image};
}

void AddLinks(PodState& state, PodEntry& pod, v1::PodSandboxMetrics& metrics) {
  MetricSink sink(*metrics.mutable_metrics(),
                  CommonLabels(*pod.record.Get(), kPodItself, pod.id, ""),
                  absl::GetCurrentTimeNanos());
  state.ReadLinks(pod, [&](const LinkFigures& link) {
    for (const LinkMetric& metric : LinkMetricTable()) {
      sink.Begin(metric.name, v1::COUNTER);
      sink.Add(link.*metric.figure, {link.name});
    }
  });
}

void AddContainer(PodState& state, ContainerEntry& container, const record::Pod& pod,
                  const DiskSpace& disk, v1::PodSandboxMetrics& metrics) {
  const ContainerRecord record = container.record.Get();
  if (record->phase() != record::CONTAINER_UP) return;
  const StatsReading reading = state.ReadStats(container, StatsDetail::kAll);
  if (!reading.running) return;
  ProcessFigures processes;
  if (const auto pids = Cgroup(*state.cgroups, record->cgroup_path()).Processes(); pids.ok()) {
    processes = CountProcesses(*pids);
  }
  const std::optional<LayerUsage> layer = state.ReadLayer(container);
  const MetricSource source{*record, reading, processes, OpenFilesLimit(record->pid()),
                            layer,   disk};
  v1::ContainerMetrics& own = *metrics.add_container_metrics();
  own.set_container_id(container.id);
  MetricSink sink(
      *own.mutable_metrics(),
      CommonLabels(pod, record->config().metadata().name(), container.id, record->image_name()),
      reading.time);
  for (const ContainerMetric& metric : ContainerMetricTable()) {
    sink.Begin(metric.name, metric.type);
    metric.emit(source, sink);
  }
}

// The metrics of one pod after the other as bytes, which take a fifth of the memory of the
// messages. One message serves all, for it keeps what it has allocated.
class MetricsReader {
 public:
  explicit MetricsReader(PodState& state) : state_(state), disk_(DiskSpaceAt(state.options.root)) {}

  // Empty if the pod is not ready.
  std::string Read(PodEntry& pod) {
    const PodRecord record = pod.record.Get();
    if (record->phase() != record::POD_READY) return "";
    metrics_.Clear();
    metrics_.set_pod_sandbox_id(pod.id);
    AddLinks(state_, pod, metrics_);
    for (const ContainerPointer& container : state_.table.ContainersOf(pod.id)) {
      AddContainer(state_, *container, *record, disk_, metrics_);
    }
    return metrics_.SerializeAsString();
  }

 private:
  PodState& state_;
  const DiskSpace disk_;
  v1::PodSandboxMetrics metrics_;
};

}  // namespace

absl::StatusOr<v1::ListMetricDescriptorsResponse> PodRuntime::ListMetricDescriptors(
    const v1::ListMetricDescriptorsRequest&, const Call&) {
  v1::ListMetricDescriptorsResponse response;
  for (const ContainerMetric& metric : ContainerMetricTable()) {
    AddDescriptor(response, metric.name, metric.help, metric.labels);
  }
  constexpr const char* kLinkLabels[] = {"interface"};
  for (const LinkMetric& metric : LinkMetricTable()) {
    AddDescriptor(response, metric.name, metric.help, kLinkLabels);
  }
  return response;
}

absl::StatusOr<v1::ListPodSandboxMetricsResponse> PodRuntime::ListPodSandboxMetrics(
    const v1::ListPodSandboxMetricsRequest&, const Call&) {
  MetricsReader reader(*state_);
  v1::ListPodSandboxMetricsResponse response;
  for (const PodPointer& pod : state_->table.Pods()) {
    std::string item = reader.Read(*pod);
    if (!item.empty()) AddItem(response, response.kPodMetricsFieldNumber, std::move(item));
  }
  return response;
}

absl::Status PodRuntime::StreamPodSandboxMetrics(
    const v1::StreamPodSandboxMetricsRequest&,
    const std::function<bool(const v1::StreamPodSandboxMetricsResponse&)>& send, const Call& call) {
  MetricsReader reader(*state_);
  MessageBatches<v1::StreamPodSandboxMetricsResponse> batches(send, call);
  for (const PodPointer& pod : state_->table.Pods()) {
    std::string item = reader.Read(*pod);
    if (item.empty()) continue;
    const size_t bytes = item.size();
    AddItem(batches.message(), v1::StreamPodSandboxMetricsResponse::kPodSandboxMetricsFieldNumber,
            std::move(item));
    RETURN_IF_ERROR(batches.Added(bytes));
  }
  return batches.Finish();
}

}  // namespace crisp
