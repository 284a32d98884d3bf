// cri-bench: measures CRI endpoints.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/file.h"
#include "bench/bench.h"
#include "bench/figures.h"
#include "bench/report.h"

namespace crisp {
namespace {

struct Output {
  bool figures = false;
  std::string json_path;
};

void AddOptions(CLI::App& app, BenchOptions& options, Output& output) {
  app.add_option("endpoint", options.endpoints,
                 "NAME=unix:///path/of.sock; several are measured in turn")
      ->required();
  app.add_option("--image", options.target.image, "image of the pods; pulled unless present")
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "pods from start to removal")->capture_default_str();
  app.add_option("--warm-up", options.warm_up, "rounds before, not counted")->capture_default_str();
  app.add_option("--execs", options.target.execs_per_pod, "ExecSync calls in each round")
      ->capture_default_str();
  app.add_option("--burst", options.burst, "pods started at once; 0: none")->capture_default_str();
  app.add_option("--bursts", options.bursts, "how often")->capture_default_str();
  app.add_option("--pods", options.pods,
                 "pods that stay while reads and memory are measured; such as 50,500")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--reads", options.reads, "calls of each read")->capture_default_str();
  app.add_option("--idle", options.idle_seconds, "seconds to watch the idle daemon")
      ->capture_default_str();
  app.add_option("--pull", options.pull, "image to remove and pull, timed");
  app.add_option("--pulls", options.pulls, "how often")->capture_default_str();
  app.add_option("--probe-seconds", options.probe_seconds, "how long to probe; 0: not at all")
      ->capture_default_str();
  app.add_option("--probes", options.probes_per_second, "exec probes a second")
      ->capture_default_str();
  app.add_option("--callers", options.callers, "who exec at once; 0: nobody")
      ->capture_default_str();
  app.add_option("--calls", options.calls_each, "execs of each of them")->capture_default_str();
  app.add_option("--events", options.events, "exits whose event is waited for")
      ->capture_default_str();
  app.add_option("--stream-mib", options.stream_mib, "to be sent through each kind of stream")
      ->capture_default_str();
  app.add_option("--crun", options.crun, "crun for the yardstick; empty: no yardstick")
      ->capture_default_str();
  app.add_option("--helpers", options.target.helper_names, "names of the processes that serve pods")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--cgroup-parent", options.target.cgroup_parent, "cgroup parent of the pods");
  app.add_option("--handler", options.target.runtime_handler, "runtime handler");
  app.add_flag("--host-network", options.target.host_network, "pods share the host's network");
  app.add_option("--json", output.json_path, "also write the report here");
  app.add_flag("--figures", output.figures,
               "all that crisp has an aim for, and how the first endpoint stands to it");
}

// Unless they were set by hand.
void AskForFigures(const CLI::App& app, BenchOptions& options) {
  const auto set = [&](const char* option, auto& place, auto value) {
    if (app.count(option) == 0) place = value;
  };
  set("--pods", options.pods, std::vector<int>{50, 500});
  set("--probe-seconds", options.probe_seconds, 60.0);
  set("--callers", options.callers, 8);
  set("--events", options.events, 50);
  set("--stream-mib", options.stream_mib, size_t{1024});
}

int Main(int argc, char** argv) {
  BenchOptions options;
  Output output;
  options.target.image = "registry.k8s.io/e2e-test-images/busybox:1.29-2";
  options.target.helper_names = {"crisp-monitor", "containerd-shim", "conmon", "pause"};
  options.target.program_folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  CLI::App app(
      "Measures CRI endpoints: latency of every verb, bursts, reads, memory, pulls, execs "
      "under load, events, streams.");
  AddOptions(app, options, output);
  CLI11_PARSE(app, argc, argv);
  if (output.figures) AskForFigures(app, options);

  char log_folder[] = "/tmp/cri-bench-logs-XXXXXX";
  if (mkdtemp(log_folder) == nullptr) {
    std::perror(log_folder);
    return 1;
  }
  options.target.log_folder = log_folder;
  Bench bench(options);
  const absl::Status status = bench.Run();
  nlohmann::json result = bench.Result();
  if (output.figures) result["figures"] = Figures(result);
  (void)RemoveTree(log_folder);
  if (status.ok() || bench.HasSamples()) std::fputs(Table(result).c_str(), stdout);
  if (output.figures) std::fputs(FigureTable(result["figures"]).c_str(), stdout);
  if (!output.json_path.empty()) std::ofstream(output.json_path) << result.dump(2) << "\n";
  if (status.ok()) return 0;
  std::fprintf(stderr, "cri-bench: %s\n", status.ToString().c_str());
  return 1;
}

}  // namespace
}  // namespace crisp

int main(int argc, char** argv) { return crisp::Main(argc, argv); }
