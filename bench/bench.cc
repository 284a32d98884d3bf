#include "bench/bench.h"

#include <cstdio>
#include <utility>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/status.h"
#include "bench/density.h"
#include "bench/event_delay.h"
#include "bench/exec_load.h"
#include "bench/report.h"
#include "bench/throughput.h"

namespace crisp {
namespace {

constexpr int kCrunExecs = 100;

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

}  // namespace

Bench::Bench(BenchOptions options) : options_(std::move(options)) {
  for (const std::string& argument : options_.endpoints)
    targets_.push_back(std::make_unique<Target>(NamedTarget(options_.target, argument)));
}

absl::Status Bench::Run() {
  for (auto& target : targets_) RETURN_IF_ERROR(Annotate(target->Prepare(), target->name()));
  RETURN_IF_ERROR(PrepareYardstick());
  RETURN_IF_ERROR(Rounds());
  RETURN_IF_ERROR(Turns("pull", options_.pull.empty() ? 0 : options_.pulls,
                        [&](Target& target) { return target.PullOnce(options_.pull); }));
  RETURN_IF_ERROR(Turns("burst", options_.burst > 0 ? options_.bursts : 0,
                        [&](Target& target) { return target.Burst(options_.burst); }));
  for (const int pods : options_.pods) {
    RETURN_IF_ERROR(Turns(Cat(pods, " pods that stay"), pods > 0 ? 1 : 0, [&](Target& target) {
      return MeasureDensity(target, {pods, options_.reads, absl::Seconds(options_.idle_seconds)});
    }));
  }
  return Load();
}

absl::Status Bench::Load() {
  RETURN_IF_ERROR(Turns("exits and their events", options_.events > 0 ? 1 : 0, [&](Target& target) {
    return MeasureEventDelay(target, options_.events);
  }));
  RETURN_IF_ERROR(Turns("streams", options_.stream_mib > 0 ? 1 : 0, [&](Target& target) {
    return MeasureStreams(target, options_.stream_mib << 20);
  }));
  RETURN_IF_ERROR(Turns(
      Cat(options_.callers, " execs at once"), options_.callers > 0 ? 1 : 0, [&](Target& target) {
        return MeasureParallelExecs(target, options_.callers, options_.calls_each);
      }));
  if (options_.callers > 0 && yardstick_.has_value()) {
    ASSIGN_OR_RETURN(const absl::Duration took, yardstick_->MeasureExec(kCrunExecs));
    yardstick_samples_.Add("crun exec", took);
  }
  return Turns(Cat(options_.probes_per_second, " exec probes a second"),
               options_.probe_seconds > 0 ? 1 : 0, [&](Target& target) {
                 ProbePlan plan;
                 plan.per_second = options_.probes_per_second;
                 plan.length = absl::Seconds(options_.probe_seconds);
                 return MeasureProbes(target, plan);
               });
}

bool Bench::HasSamples() const { return !targets_[0]->samples().Summaries().empty(); }

nlohmann::json Bench::Result() {
  std::vector<Target*> targets;
  for (auto& target : targets_) targets.push_back(target.get());
  return Report(targets, yardstick_samples_);
}

absl::Status Bench::PrepareYardstick() {
  if (options_.crun.empty()) return absl::OkStatus();
  auto yardstick = Yardstick::Prepare(options_.crun, options_.target.program_folder);
  if (absl::IsNotFound(yardstick.status())) {
    Progress(Cat("no yardstick: ", yardstick.status().message()));
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(yardstick.status());
  yardstick_.emplace(*std::move(yardstick));
  return absl::OkStatus();
}

absl::Status Bench::Rounds() {
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
absl::Status Bench::Turns(const std::string& what, int turns, Work&& work) {
  for (int turn = 0; turn < turns; ++turn) {
    Progress(turns == 1 ? what : Cat(what, ", ", turn + 1, " of ", turns));
    for (auto& target : targets_)
      RETURN_IF_ERROR(Annotate(work(*target), Cat(target->name(), ": ", what)));
  }
  return absl::OkStatus();
}

}  // namespace crisp
