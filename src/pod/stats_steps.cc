// The readings that the stats and metrics verbs share.
#include "base/file.h"
#include "oci/spec.h"
#include "pod/pod_state.h"
#include "pod/stats_view.h"

namespace crisp {
namespace {

// The interface that carries the pod's address has this name with every network that crisp knows.
constexpr char kDefaultLink[] = "eth0";

}  // namespace

StatsReading PodState::ReadStats(ContainerEntry& container, StatsDetail detail) {
  const ContainerRecord record = container.record.Get();
  if (record->phase() != record::CONTAINER_UP) {
    StatsReading nothing;
    nothing.time = absl::GetCurrentTimeNanos();
    return nothing;
  }
  return container.meter.Read(*cgroups, record->cgroup_path(), stats_budget, detail);
}

StatsReading PodState::ReadStats(PodEntry& pod, StatsDetail detail) {
  const PodRecord record = pod.record.Get();
  // The folder above that of a container, whichever container.
  const absl::StatusOr<std::string> inside = CgroupPathOf(record->config(), pod.id, "any", true);
  if (!inside.ok() || record->phase() != record::POD_READY) {
    StatsReading nothing;
    nothing.time = absl::GetCurrentTimeNanos();
    return nothing;
  }
  return pod.meter.Read(*cgroups, FolderOf(*inside), stats_budget, detail);
}

std::optional<LayerUsage> PodState::ReadLayer(const ContainerEntry& container) {
  return layer_meter.Get(container.id, paths.Upper(container.id));
}

bool PodState::ReadLinks(PodEntry& pod, const std::function<void(const LinkFigures&)>& see) {
  const PodRecord record = pod.record.Get();
  if (HostNetwork(*record) || record->phase() != record::POD_READY) return false;
  std::vector<pid_t> pids;
  if (record->init_pid() != 0) pids.push_back(record->init_pid());
  for (const ContainerPointer& container : table.ContainersOf(pod.id)) {
    if (const pid_t pid = container->record.Get()->pid(); pid != 0) pids.push_back(pid);
  }
  return pod.meter.ReadLinks(paths.Netns(pod.id), pids, stats_budget, see);
}

v1::ContainerStats PodState::StatsOfContainer(ContainerEntry& container) {
  return StatsOf(*container.record.Get(), ReadStats(container, StatsDetail::kUsage),
                 ReadLayer(container), options.root);
}

v1::PodSandboxStats PodState::StatsOfPod(PodEntry& pod) {
  v1::PodSandboxStats stats = StatsOf(*pod.record.Get(), ReadStats(pod, StatsDetail::kUsage));
  v1::NetworkUsage network;
  const bool known = ReadLinks(pod, [&](const LinkFigures& link) {
    if (link.name == kDefaultLink) {
      *network.mutable_default_interface() = UsageOf(link);
    } else {
      *network.add_interfaces() = UsageOf(link);
    }
  });
  if (known) {
    network.set_timestamp(absl::GetCurrentTimeNanos());
    *stats.mutable_linux()->mutable_network() = std::move(network);
  }
  for (const ContainerPointer& container : table.ContainersOf(pod.id)) {
    if (container->record.Get()->phase() != record::CONTAINER_UP) continue;
    *stats.mutable_linux()->add_containers() = StatsOfContainer(*container);
  }
  return stats;
}

}  // namespace crisp
