#include "bench/report.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <thread>

#include "absl/strings/str_format.h"
#include "base/text.h"

namespace crisp {

namespace {

using nlohmann::json;

json ToJson(const Summary& summary, double yardstick) {
  json value = {{"count", summary.count},
                {"median_ms", summary.median_ms},
                {"p95_ms", summary.p95_ms},
                {"min_ms", summary.min_ms},
                {"max_ms", summary.max_ms}};
  if (yardstick > 0) value["median_y"] = summary.median_ms / yardstick;
  return value;
}

std::string Cell(const json& summary) {
  std::string text = absl::StrFormat("%.2f / %.2f", summary["median_ms"].get<double>(),
                                     summary["p95_ms"].get<double>());
  if (summary.contains("median_y"))
    absl::StrAppendFormat(&text, "  %.2f Y", summary["median_y"].get<double>());
  return text;
}

std::string Row(const std::string& name, const std::vector<std::string>& cells) {
  std::string row = absl::StrFormat("%-36s", name);
  for (const std::string& cell : cells) absl::StrAppendFormat(&row, "  %-30s", cell);
  while (row.back() == ' ') row.pop_back();
  return row + "\n";
}

// The names of all targets' latencies, in the order of the first target that has them.
std::vector<std::string> RowNames(const json& targets) {
  std::vector<std::string> names;
  for (const json& target : targets) {
    for (const json& entry : target["latency"]) {
      const std::string name = entry["name"];
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

std::string LatencyCell(const json& target, const std::string& name) {
  for (const json& entry : target["latency"]) {
    if (entry["name"] == name) return Cell(entry);
  }
  return "-";
}

// The entry of a target's fact "memory" for so many pods.
json DensityOf(const json& target, int pods) {
  for (const json& entry : target["facts"].value("memory", json::array()))
    if (entry["pods"] == pods) return entry;
  return json::object();
}

std::string MemoryRows(const json& targets, int pods) {
  std::vector<std::string> daemon, after_reads, per_pod, idle;
  const auto mib = [](const json& memory, const char* what) {
    const int64_t kib = memory.value(what, json::object()).value("pss_kib", int64_t{0});
    return absl::StrFormat("%.1f MiB", static_cast<double>(kib) / 1024);
  };
  for (const json& target : targets) {
    const json memory = DensityOf(target, pods);
    if (memory.empty()) {
      for (auto* row : {&daemon, &after_reads, &per_pod, &idle}) row->push_back("-");
      continue;
    }
    daemon.push_back(mib(memory, "daemon"));
    after_reads.push_back(mib(memory, "daemon_after_reads"));
    per_pod.push_back(absl::StrFormat("%.0f KiB", memory["pss_kib_per_pod"].get<double>()));
    idle.push_back(absl::StrFormat("%.2f %%", memory.value("idle_processor_percent", 0.0)));
  }
  const std::string with = Cat(", ", pods, " pods");
  return Row("PSS of the daemon" + with, daemon) + Row("  after reads", after_reads) +
         Row("  of helpers per pod", per_pod) + Row("  processor when idle", idle);
}

std::string LoadRows(const json& targets) {
  std::vector<std::string> rate, processor, shared, spread;
  std::map<std::string, std::vector<std::string>> streams;
  for (const json& target : targets) {
    const json all = target["facts"].value("streams", json::object());
    for (const auto& [name, stream] : all.items()) streams[name];
  }
  const auto number = [](const json& from, const char* name, const char* unit) {
    return from.contains(name) ? absl::StrFormat("%.0f %s", from[name].get<double>(), unit) : "-";
  };
  for (const json& target : targets) {
    const json& facts = target["facts"];
    const json probes = facts.value("probes", json::object());
    rate.push_back(number(probes, "per_second", "/s"));
    processor.push_back(number(probes, "processor_percent", "%"));
    const json execs = facts.value("parallel_execs", json::object());
    shared.push_back(number(execs, "per_second_one_container", "/s"));
    spread.push_back(number(execs, "per_second_each_its_own", "/s"));
    for (auto& [name, row] : streams) {
      const json stream = facts.value("streams", json::object()).value(name, json::object());
      row.push_back(stream.value("error", number(stream, "mb_per_second", "MB/s")));
    }
  }
  std::string text = Row("exec probes", rate) + Row("  processor", processor) +
                     Row("execs at once, one container", shared) +
                     Row("  in a container each", spread);
  for (const auto& [name, row] : streams) text += Row(name, row);
  return text;
}

}  // namespace

json Report(const std::vector<Target*>& targets, const Samples& yardstick) {
  utsname host{};
  uname(&host);
  const double y = yardstick.Median("yardstick");
  json report = {{"kernel", host.release},
                 {"processors", std::thread::hardware_concurrency()},
                 {"targets", json::array()}};
  for (const auto& [name, summary] : yardstick.Summaries()) report[name] = ToJson(summary, 0);
  for (Target* target : targets) {
    json latency = json::array();
    for (const auto& [name, summary] : target->samples().Summaries()) {
      json entry = ToJson(summary, y);
      entry["name"] = name;
      latency.push_back(entry);
    }
    report["targets"].push_back(
        {{"name", target->name()}, {"facts", target->facts()}, {"latency", latency}});
  }
  return report;
}

std::string Table(const json& report) {
  std::string text;
  if (report.contains("yardstick"))
    text += Cat("Y = crun run of a static program: ", Cell(report["yardstick"]), " ms\n");
  text += "Latencies in milliseconds: median / p95, and the median in Y\n\n";
  const json& targets = report["targets"];
  std::vector<std::string> heads;
  for (const json& target : targets)
    heads.push_back(Cat(target["name"].get<std::string>(), " (",
                        target["facts"].value("runtime", ""), " ",
                        target["facts"].value("version", ""), ")"));
  text += Row("", heads);
  for (const std::string& name : RowNames(targets)) {
    std::vector<std::string> cells;
    for (const json& target : targets) cells.push_back(LatencyCell(target, name));
    text += Row(name, cells);
  }
  std::set<int> densities;
  for (const json& target : targets) {
    for (const json& entry : target["facts"].value("memory", json::array()))
      densities.insert(entry["pods"].get<int>());
  }
  for (const int pods : densities) text += MemoryRows(targets, pods);
  return text + LoadRows(targets);
}

}  // namespace crisp
