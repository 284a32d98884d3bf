// crisp stats: what pods and their containers use.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "absl/time/clock.h"
#include "base/status.h"
#include "cli/output.h"
#include "cli/session.h"

namespace crisp {
namespace {

struct StatsOptions {
  double interval = 1;  // seconds
  bool no_trunc = false;
};

using Usages = std::map<std::string, cri::CpuUsage>;

// Two readings give the processor's rate, whoever else reads.
Usages UsagesIn(const cri::ListPodSandboxStatsResponse& list) {
  Usages usages;
  for (const cri::PodSandboxStats& pod : list.stats()) {
    usages[pod.attributes().id()] = pod.linux().cpu();
    for (const cri::ContainerStats& container : pod.linux().containers()) {
      usages[container.attributes().id()] = container.cpu();
    }
  }
  return usages;
}

// In percent of one processor; negative if there is no earlier reading.
double CpuPercent(const std::string& id, const cri::CpuUsage& now, const Usages& before) {
  const auto found = before.find(id);
  if (found == before.end()) return -1;
  const int64_t span = now.timestamp() - found->second.timestamp();
  const uint64_t used = now.usage_core_nano_seconds().value();
  const uint64_t earlier = found->second.usage_core_nano_seconds().value();
  if (span <= 0 || used < earlier) return -1;
  return 100 * static_cast<double>(used - earlier) / static_cast<double>(span);
}

std::string CpuCell(double percent) {
  if (percent < 0) return "-";
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f%%", percent);
  return text;
}

std::string MemoryCell(const cri::MemoryUsage& memory) {
  const std::string used = SizeText(memory.working_set_bytes().value());
  if (!memory.has_available_bytes()) return used;
  return Cat(used, " / ",
             SizeText(memory.working_set_bytes().value() + memory.available_bytes().value()));
}

std::string NetworkCell(const cri::LinuxPodSandboxStats& pod) {
  if (!pod.has_network()) return "-";
  uint64_t received = pod.network().default_interface().rx_bytes().value();
  uint64_t sent = pod.network().default_interface().tx_bytes().value();
  for (const cri::NetworkInterfaceUsage& link : pod.network().interfaces()) {
    received += link.rx_bytes().value();
    sent += link.tx_bytes().value();
  }
  return Cat(SizeText(received), " / ", SizeText(sent));
}

std::string SizeOrDash(bool known, uint64_t bytes) { return known ? SizeText(bytes) : "-"; }

void AddRows(const cri::PodSandboxStats& pod, const Usages& before, const StatsOptions& options,
             Table& table) {
  const auto shown = [&](const std::string& id) { return options.no_trunc ? id : ShortId(id); };
  const cri::LinuxPodSandboxStats& figures = pod.linux();
  const cri::PodSandboxMetadata& metadata = pod.attributes().metadata();
  table.Add({shown(pod.attributes().id()), Cat(metadata.namespace_(), "/", metadata.name()), "",
             CpuCell(CpuPercent(pod.attributes().id(), figures.cpu(), before)),
             MemoryCell(figures.memory()), "-", Cat(figures.process().process_count().value()), "-",
             NetworkCell(figures)});
  for (const cri::ContainerStats& container : figures.containers()) {
    table.Add({shown(container.attributes().id()), "", container.attributes().metadata().name(),
               CpuCell(CpuPercent(container.attributes().id(), container.cpu(), before)),
               MemoryCell(container.memory()),
               SizeOrDash(container.has_swap(), container.swap().swap_usage_bytes().value()), "-",
               SizeOrDash(container.has_writable_layer(),
                          container.writable_layer().used_bytes().value()),
               "-"});
  }
}

Json PodJson(const cri::PodSandboxStats& pod, const Usages& before) {
  Json out = MessageJson(pod);
  const auto add = [&](Json& into, const std::string& id, const cri::CpuUsage& cpu) {
    if (const double percent = CpuPercent(id, cpu, before); percent >= 0) {
      into["cpu_percent"] = percent;
    }
  };
  add(out, pod.attributes().id(), pod.linux().cpu());
  for (int i = 0; i < pod.linux().containers_size(); ++i) {
    const cri::ContainerStats& container = pod.linux().containers(i);
    add(out["linux"]["containers"][static_cast<size_t>(i)], container.attributes().id(),
        container.cpu());
  }
  return out;
}

absl::Status Stats(Session& session, const StatsOptions& options) {
  Client& client = session.client();
  Usages before;
  if (options.interval > 0) {
    ASSIGN_OR_RETURN(const auto first, client.Call(cri::ListPodSandboxStatsRequest()));
    before = UsagesIn(first);
    absl::SleepFor(absl::Seconds(options.interval));
  }
  ASSIGN_OR_RETURN(const auto list, client.Call(cri::ListPodSandboxStatsRequest()));
  Table table(
      {"ID", "POD", "CONTAINER", "CPU", "MEMORY", "SWAP", "TASKS", "WRITTEN", "RECEIVED / SENT"});
  Json json = Json::array();
  for (const cri::PodSandboxStats& pod : list.stats()) {
    if (session.json()) {
      json.push_back(PodJson(pod, before));
    } else {
      AddRows(pod, before, options, table);
    }
  }
  if (session.json()) {
    PrintJson(json);
  } else {
    Print(table.Text());
  }
  return absl::OkStatus();
}

}  // namespace

void AddStats(CLI::App& app, Session& session) {
  auto options = std::make_shared<StatsOptions>();
  CLI::App* command = AddCommand(app, session, "stats", "Show what pods and containers use");
  command
      ->add_option("--interval", options->interval,
                   "seconds over which the processor is measured; 0: not at all")
      ->check(CLI::Range(0.0, 60.0))
      ->capture_default_str();
  command->add_flag("--no-trunc", options->no_trunc, "whole ids");
  command->callback([&session, options] { session.Finish(Stats(session, *options)); });
}

}  // namespace crisp
