#include "bench/figures.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_format.h"
#include "base/text.h"

namespace crisp {
namespace {

using nlohmann::json;
using Value = std::optional<double>;

// A member of a member of ..., as far as there is one.
Value At(const json& from, const std::string& pointer) {
  const json::json_pointer place(pointer);
  if (!from.contains(place) || !from[place].is_number()) return std::nullopt;
  return from[place].get<double>();
}

class FigureList {
 public:
  explicit FigureList(const json& report)
      : report_(report), target_(report["targets"][0]), y_(At(report, "/yardstick/median_ms")) {}

  // The median of these samples.
  void TimeInY(const std::string& sample, double limit) {
    const Value value = Median(sample);
    Value in_y;
    if (value && y_) in_y = *value / *y_;
    Add(sample, value, "ms", Cat("at most ", Number(limit), " Y"), in_y, limit, false);
  }
  void Time(const std::string& sample, double limit) {
    AtMost(sample, Median(sample), "ms", limit);
  }
  void AtMost(const std::string& name, Value value, const std::string& unit, double limit) {
    Add(name, value, unit, Cat("at most ", Number(limit), " ", unit), value, limit, false);
  }
  void AtLeast(const std::string& name, Value value, const std::string& unit, double limit) {
    Add(name, value, unit, Cat("at least ", Number(limit), " ", unit), value, limit, true);
  }

  Value Median(const std::string& sample) const {
    for (const json& entry : target_["latency"])
      if (entry["name"] == sample) return entry["median_ms"].get<double>();
    return std::nullopt;
  }
  Value Fact(const std::string& pointer) const { return At(target_["facts"], pointer); }
  // With so many pods.
  Value Memory(int pods, const std::string& pointer, double divisor) const {
    for (const json& entry : target_["facts"].value("memory", json::array())) {
      const Value value = At(entry, pointer);
      if (entry["pods"] == pods && value) return *value / divisor;
    }
    return std::nullopt;
  }
  const json& facts() const { return target_["facts"]; }
  Value CrunExec() const { return At(report_, "/crun exec/median_ms"); }
  json Take() { return std::move(figures_); }

 private:
  static std::string Number(double value) { return absl::StrFormat("%.6g", value); }

  // `compared` is what the limit is for.
  void Add(const std::string& name, Value value, const std::string& unit, const std::string& aim,
           Value compared, double limit, bool at_least) {
    json figure = {{"name", name}, {"unit", unit}, {"aim", aim}, {"value", nullptr}};
    if (value) figure["value"] = *value;
    if (value && y_ && unit == "ms") figure["in_y"] = *value / *y_;
    if (compared) figure["met"] = at_least ? *compared >= limit : *compared <= limit;
    figures_.push_back(figure);
  }

  const json& report_;
  const json& target_;
  const Value y_;
  json figures_ = json::array();
};

void AddReads(FigureList& list) {
  for (const auto& [pods, limit] : {std::pair(50, 1.0), std::pair(500, 4.0)}) {
    const auto named = [pods = pods](const char* verb) { return Cat(verb, ", ", pods, " pods"); };
    for (const char* verb : {"ListPodSandbox", "ListContainers", "ListImages"})
      list.Time(named(verb), limit);
    for (const char* verb : {"PodSandboxStatus", "ContainerStatus", "Status"})
      list.Time(named(verb), 0.5);
  }
  list.TimeInY("ListContainerStats, 50 pods", 0.4);
}

void AddMemory(FigureList& list) {
  list.AtMost("PSS of the daemon, 50 pods", list.Memory(50, "/daemon/pss_kib", 1024), "MiB", 30);
  list.AtMost("PSS of the daemon, 50 pods, after reads",
              list.Memory(50, "/daemon_after_reads/pss_kib", 1024), "MiB", 30);
  list.AtMost("PSS of a monitor, 50 pods",
              list.Memory(50, "/helpers/crisp-monitor/pss_kib_median", 1), "KiB", 300);
}

void AddExecs(FigureList& list) {
  list.AtLeast("exec probes a second, for a minute", list.Fact("/probes/per_second"), "/s", 199);
  list.AtMost("exec probes that failed", list.Fact("/probes/failures"), "", 0);
  const auto growth = [&](const std::string& what) -> Value {
    const Value before = list.Fact(Cat("/probes/", what, "/0"));
    const Value after = list.Fact(Cat("/probes/", what, "/1"));
    if (!before || !after) return std::nullopt;
    return *after - *before;
  };
  list.AtMost("growth of the daemon in that minute", growth("daemon_kib"), "KiB", 1024);
  list.AtMost("growth of all monitors in that minute", growth("helpers_kib"), "KiB", 1024);
  list.AtMost("descriptors that stay", growth("descriptors"), "", 0);
  // A second of crun, one exec after the other.
  const Value crun = list.CrunExec();
  for (const auto& [name, fact] : {std::pair("in one container", "one_container"),
                                   std::pair("in a container each", "each_its_own")}) {
    const Value rate = list.Fact(Cat("/parallel_execs/per_second_", fact));
    Value times;
    if (rate && crun) times = *rate * *crun / 1000;
    list.AtLeast(Cat("8 execs at once, ", name), times, "times crun's", 5);
  }
}

void AddStreams(FigureList& list) {
  const json streams = list.facts().value("streams", json::object());
  if (streams.empty()) return list.AtLeast("streams", std::nullopt, "MB/s", 500);
  Value growth;
  for (const auto& [name, stream] : streams.items()) {
    list.AtLeast(name, At(stream, "/mb_per_second"), "MB/s", 500);
    if (const Value each = At(stream, "/daemon_growth_kib"))
      growth = std::max(growth.value_or(0), *each);
  }
  list.AtMost("growth of the daemon while streams run", growth, "KiB", 8192);
}

}  // namespace

json Figures(const json& report) {
  FigureList list(report);
  list.TimeInY("pod to running", 1.0);
  list.TimeInY("teardown", 1.0);
  list.TimeInY("ExecSync", 0.35);
  list.Time("pull", 1200);
  AddReads(list);
  AddMemory(list);
  AddExecs(list);
  list.Time("exit to event", 5);
  AddStreams(list);
  return list.Take();
}

std::string FigureTable(const json& figures) {
  std::string text =
      absl::StrFormat("\n%-44s %22s %10s  %-24s\n", "figure", "measured", "in Y", "aim");
  for (const json& figure : figures) {
    const bool measured = figure["value"].is_number();
    const std::string value = measured ? absl::StrFormat("%.2f %s", figure["value"].get<double>(),
                                                         figure["unit"].get<std::string>())
                                       : "not measured";
    const std::string in_y =
        figure.contains("in_y") ? absl::StrFormat("%.3f", figure["in_y"].get<double>()) : "";
    const char* verdict = !figure.contains("met")     ? ""
                          : figure["met"].get<bool>() ? "met"
                                                      : "MISSED";
    absl::StrAppendFormat(&text, "%-44s %22s %10s  %-24s %s\n", figure["name"].get<std::string>(),
                          value, in_y, figure["aim"].get<std::string>(), verdict);
  }
  return text;
}

}  // namespace crisp
