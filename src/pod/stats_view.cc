#include "pod/stats_view.h"

namespace crisp {

namespace v1 = ::runtime::v1;

namespace {

void Fill(const PressureLine& line, v1::PsiData& psi) {
  psi.set_total(line.total_us * 1000);
  psi.set_avg10(line.avg10);
  psi.set_avg60(line.avg60);
  psi.set_avg300(line.avg300);
}

void Fill(const Pressure& pressure, v1::PsiStats& psi) {
  Fill(pressure.some, *psi.mutable_some());
  Fill(pressure.full, *psi.mutable_full());
}

void Fill(const StatsReading& reading, v1::CpuUsage& cpu) {
  cpu.set_timestamp(reading.time);
  cpu.mutable_usage_core_nano_seconds()->set_value(reading.figures.cpu_usage.value_or(0));
  if (reading.nano_cores) cpu.mutable_usage_nano_cores()->set_value(*reading.nano_cores);
  if (reading.figures.cpu_pressure) Fill(*reading.figures.cpu_pressure, *cpu.mutable_psi());
}

void Fill(const StatsReading& reading, v1::MemoryUsage& memory) {
  const CgroupFigures& figures = reading.figures;
  memory.set_timestamp(reading.time);
  const uint64_t working_set = figures.WorkingSet().value_or(0);
  memory.mutable_working_set_bytes()->set_value(working_set);
  memory.mutable_usage_bytes()->set_value(figures.memory.value_or(0));
  if (figures.memory_limit) {
    const uint64_t limit = *figures.memory_limit;
    memory.mutable_available_bytes()->set_value(limit > working_set ? limit - working_set : 0);
  }
  if (figures.anonymous) memory.mutable_rss_bytes()->set_value(*figures.anonymous);
  if (figures.page_faults) memory.mutable_page_faults()->set_value(*figures.page_faults);
  if (figures.major_page_faults) {
    memory.mutable_major_page_faults()->set_value(*figures.major_page_faults);
  }
  if (figures.memory_pressure) Fill(*figures.memory_pressure, *memory.mutable_psi());
}

void Fill(const StatsReading& reading, v1::SwapUsage& swap) {
  const CgroupFigures& figures = reading.figures;
  swap.set_timestamp(reading.time);
  swap.mutable_swap_usage_bytes()->set_value(*figures.swap);
  if (!figures.swap_limit) return;
  const uint64_t limit = *figures.swap_limit;
  swap.mutable_swap_available_bytes()->set_value(limit > *figures.swap ? limit - *figures.swap : 0);
}

template <typename Stats>
void FillIo(const StatsReading& reading, Stats& stats) {
  if (!reading.figures.io_pressure) return;
  stats.mutable_io()->set_timestamp(reading.time);
  Fill(*reading.figures.io_pressure, *stats.mutable_io()->mutable_psi());
}

}  // namespace

v1::ContainerStats StatsOf(const record::Container& container, const StatsReading& reading,
                           const std::optional<LayerUsage>& layer, const std::string& mountpoint) {
  v1::ContainerStats stats;
  v1::ContainerAttributes& attributes = *stats.mutable_attributes();
  attributes.set_id(container.id());
  *attributes.mutable_metadata() = container.config().metadata();
  *attributes.mutable_labels() = container.config().labels();
  *attributes.mutable_annotations() = container.config().annotations();
  Fill(reading, *stats.mutable_cpu());
  Fill(reading, *stats.mutable_memory());
  if (reading.figures.swap) Fill(reading, *stats.mutable_swap());
  FillIo(reading, stats);
  if (layer) {
    v1::FilesystemUsage& usage = *stats.mutable_writable_layer();
    usage.set_timestamp(layer->time);
    usage.mutable_fs_id()->set_mountpoint(mountpoint);
    usage.mutable_used_bytes()->set_value(layer->usage.bytes);
    usage.mutable_inodes_used()->set_value(layer->usage.inodes);
  }
  return stats;
}

v1::PodSandboxStats StatsOf(const record::Pod& pod, const StatsReading& reading) {
  v1::PodSandboxStats stats;
  v1::PodSandboxAttributes& attributes = *stats.mutable_attributes();
  attributes.set_id(pod.id());
  *attributes.mutable_metadata() = pod.config().metadata();
  *attributes.mutable_labels() = pod.config().labels();
  *attributes.mutable_annotations() = pod.config().annotations();
  v1::LinuxPodSandboxStats& figures = *stats.mutable_linux();
  Fill(reading, *figures.mutable_cpu());
  Fill(reading, *figures.mutable_memory());
  FillIo(reading, figures);
  figures.mutable_process()->set_timestamp(reading.time);
  if (!reading.running || reading.figures.tasks) {
    figures.mutable_process()->mutable_process_count()->set_value(
        reading.figures.tasks.value_or(0));
  }
  return stats;
}

v1::NetworkInterfaceUsage UsageOf(const LinkFigures& link) {
  v1::NetworkInterfaceUsage usage;
  usage.set_name(std::string(link.name));
  usage.mutable_rx_bytes()->set_value(link.rx_bytes);
  usage.mutable_rx_errors()->set_value(link.rx_errors);
  usage.mutable_tx_bytes()->set_value(link.tx_bytes);
  usage.mutable_tx_errors()->set_value(link.tx_errors);
  return usage;
}

}  // namespace crisp
