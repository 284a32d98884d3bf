// cri-bench: measures CRI endpoints. Several endpoints take turns round by round, and so does the
// yardstick (`crun run` of a static program), so that all of them see the same machine.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/status.h"
#include "bench/report.h"
#include "bench/target.h"
#include "bench/yardstick.h"

namespace crisp {
namespace {

struct BenchOptions {
  std::vector<std::string> endpoints;
  TargetOptions target;
  int rounds = 40;
  int warm_up = 3;
  int burst = 20;
  int bursts = 3;
  int pods = 50;
  int reads = 200;
  double idle_seconds = 5;
  std::string pull;
  int pulls = 5;
  std::string crun = "/usr/bin/crun";
  std::string json_path;
};

// The name before "=", or the endpoint's own path.
TargetOptions NamedTarget(TargetOptions options, const std::string& argument) {
  const size_t equals = argument.find('=');
  const bool named = equals != std::string::npos && argument.find('/') > equals;
  options.endpoint = named ? argument.substr(equals + 1) : argument;
  options.name = named ? argument.substr(0, equals) : BaseName(argument);
  if (absl::StartsWith(options.endpoint, "/")) options.endpoint = "unix://" + options.endpoint;
  return options;
}

void Progress(const std::string& text) { std::fprintf(stderr, "cri-bench: %s\n", text.c_str()); }

class Bench {
 public:
  explicit Bench(BenchOptions options) : options_(std::move(options)) {
    for (const std::string& argument : options_.endpoints)
      targets_.push_back(std::make_unique<Target>(NamedTarget(options_.target, argument)));
  }

  absl::Status Run() {
    for (auto& target : targets_) RETURN_IF_ERROR(Annotate(target->Prepare(), target->name()));
    RETURN_IF_ERROR(PrepareYardstick());
    RETURN_IF_ERROR(Rounds());
    RETURN_IF_ERROR(Turns("pull", options_.pull.empty() ? 0 : options_.pulls,
                          [&](Target& target) { return target.PullOnce(options_.pull); }));
    RETURN_IF_ERROR(Turns("burst", options_.burst > 0 ? options_.bursts : 0,
                          [&](Target& target) { return target.Burst(options_.burst); }));
    return Turns("pods that stay", options_.pods > 0 ? 1 : 0, [&](Target& target) {
      return target.Density(options_.pods, options_.reads, absl::Seconds(options_.idle_seconds));
    });
  }

  bool HasSamples() const { return !targets_[0]->samples().Summaries().empty(); }

  nlohmann::json Result() {
    std::vector<Target*> targets;
    for (auto& target : targets_) targets.push_back(target.get());
    return Report(targets, yardstick_samples_);
  }

 private:
  absl::Status PrepareYardstick() {
    if (options_.crun.empty()) return absl::OkStatus();
    const std::string program =
        std::filesystem::read_symlink("/proc/self/exe").parent_path() / "static-true";
    auto yardstick = Yardstick::Prepare(options_.crun, program);
    if (absl::IsNotFound(yardstick.status())) {
      Progress(Cat("no yardstick: ", yardstick.status().message()));
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(yardstick.status());
    yardstick_.emplace(*std::move(yardstick));
    return absl::OkStatus();
  }

  absl::Status Rounds() {
    Progress(Cat(options_.warm_up, " + ", options_.rounds, " rounds"));
    for (int round = -options_.warm_up; round < options_.rounds; ++round) {
      for (auto& target : targets_)
        RETURN_IF_ERROR(Annotate(target->Round(round >= 0), target->name()));
      if (!yardstick_.has_value()) continue;
      ASSIGN_OR_RETURN(const absl::Duration took, yardstick_->Measure());
      if (round >= 0) yardstick_samples_.Add("yardstick", took);
    }
    return absl::OkStatus();
  }

  template <typename Work>
  absl::Status Turns(const std::string& what, int turns, Work&& work) {
    for (int turn = 0; turn < turns; ++turn) {
      Progress(Cat(what, ", ", turn + 1, " of ", turns));
      for (auto& target : targets_)
        RETURN_IF_ERROR(Annotate(work(*target), Cat(target->name(), ": ", what)));
    }
    return absl::OkStatus();
  }

  const BenchOptions options_;
  std::vector<std::unique_ptr<Target>> targets_;
  std::optional<Yardstick> yardstick_;
  Samples yardstick_samples_;
};

void AddOptions(CLI::App& app, BenchOptions& options) {
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
  app.add_option("--pods", options.pods, "pods that stay while reads and memory are measured")
      ->capture_default_str();
  app.add_option("--reads", options.reads, "calls of each read")->capture_default_str();
  app.add_option("--idle", options.idle_seconds, "seconds to watch the idle daemon")
      ->capture_default_str();
  app.add_option("--pull", options.pull, "image to remove and pull, timed");
  app.add_option("--pulls", options.pulls, "how often")->capture_default_str();
  app.add_option("--crun", options.crun, "crun for the yardstick; empty: no yardstick")
      ->capture_default_str();
  app.add_option("--helpers", options.target.helper_names, "names of the processes that serve pods")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--cgroup-parent", options.target.cgroup_parent, "cgroup parent of the pods");
  app.add_option("--handler", options.target.runtime_handler, "runtime handler");
  app.add_flag("--host-network", options.target.host_network, "pods share the host's network");
  app.add_option("--json", options.json_path, "also write the report here");
}

int Main(int argc, char** argv) {
  BenchOptions options;
  options.target.image = "registry.k8s.io/e2e-test-images/busybox:1.29-2";
  options.target.helper_names = {"crisp-monitor", "containerd-shim", "conmon", "pause"};
  CLI::App app("Measures CRI endpoints: latency of every verb, bursts, reads, memory, pulls.");
  AddOptions(app, options);
  CLI11_PARSE(app, argc, argv);

  char log_folder[] = "/tmp/cri-bench-logs-XXXXXX";
  if (mkdtemp(log_folder) == nullptr) {
    std::perror(log_folder);
    return 1;
  }
  options.target.log_folder = log_folder;
  Bench bench(options);
  const absl::Status status = bench.Run();
  const nlohmann::json result = bench.Result();
  (void)RemoveTree(log_folder);
  if (status.ok() || bench.HasSamples()) std::fputs(Table(result).c_str(), stdout);
  if (!options.json_path.empty()) std::ofstream(options.json_path) << result.dump(2) << "\n";
  if (!status.ok()) {
    std::fprintf(stderr, "cri-bench: %s\n", status.ToString().c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace crisp

int main(int argc, char** argv) { return crisp::Main(argc, argv); }
