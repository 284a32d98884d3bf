#include "bench/density.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "base/status.h"

namespace crisp {
namespace {

namespace v1 = runtime::v1;
using nlohmann::json;
using Pods = std::vector<Target::Pod>;

json ToJson(const MemoryUse& use) {
  return {{"pss_kib", use.pss_kib}, {"private_kib", use.private_kib}};
}

json MemoryOfDaemon(const Target& target) {
  const auto use = MemoryOf(target.daemon());
  return use.ok() ? ToJson(*use) : json::object();
}

// The helpers are this target's only if nobody else runs such ones meanwhile; the report says how
// many there were before.
json MemoryWith(const Target& target, size_t pods) {
  json memory = {{"pods", pods}, {"daemon", MemoryOfDaemon(target)}};
  double per_pod = 0;
  for (const auto& [name, pids] : target.Helpers()) {
    std::vector<double> pss;
    int64_t total = 0, total_private = 0;
    for (const pid_t pid : pids) {
      const auto use = MemoryOf(pid);
      if (!use.ok()) continue;  // ended meanwhile
      pss.push_back(static_cast<double>(use->pss_kib));
      total += use->pss_kib;
      total_private += use->private_kib;
    }
    if (pss.empty()) continue;
    const Summary summary = Summarize(pss);
    memory["helpers"][name] = {{"processes", pss.size()},
                               {"before", target.HelpersBefore(name)},
                               {"pss_kib", total},
                               {"private_kib", total_private},
                               {"pss_kib_median", summary.median_ms},
                               {"pss_kib_max", summary.max_ms}};
    per_pod += static_cast<double>(total) / static_cast<double>(pods);
  }
  memory["pss_kib_per_pod"] = per_pod;
  return memory;
}

double IdlePercent(const Target& target, absl::Duration idle) {
  const auto sum = [&] {
    absl::Duration total = ProcessorTimeOf(target.daemon()).value_or(absl::ZeroDuration());
    for (const auto& [name, pids] : target.Helpers()) {
      for (const pid_t pid : pids) total += ProcessorTimeOf(pid).value_or(absl::ZeroDuration());
    }
    return total;
  };
  const absl::Duration before = sum();
  absl::SleepFor(idle);
  return 100 * absl::FDivDuration(sum() - before, idle);
}

// One verb after the other, as what a large answer leaves to do would be on the next one's clock.
absl::Status MeasureReads(Target& target, const Pods& pods, int reads) {
  using Runtime = CriClient::RuntimeStub;
  CriClient& client = target.client();
  absl::Status verdict;
  const auto timed = [&](const char* verb, int count, auto&& call) {
    const std::string name = Cat(verb, ", ", pods.size(), " pods");
    for (int i = 0; i < count; ++i) {
      const Target::Pod& pod = pods[i % pods.size()];
      const auto answer = Measure(target.samples(), name, [&] { return call(pod); });
      // Not every runtime has them all.
      if (!absl::IsUnimplemented(answer.status())) verdict.Update(answer.status());
      if (!answer.ok()) return;
    }
  };
  using Pod = Target::Pod;
  timed("ListPodSandbox", reads, [&](const Pod&) {
    return client.Call(&Runtime::ListPodSandbox, v1::ListPodSandboxRequest());
  });
  timed("ListContainers", reads, [&](const Pod&) {
    return client.Call(&Runtime::ListContainers, v1::ListContainersRequest());
  });
  timed("PodSandboxStatus", reads, [&](const Pod& pod) { return client.PodStatus(pod.id); });
  timed("ContainerStatus", reads,
        [&](const Pod& pod) { return client.ContainerStatus(pod.container); });
  timed("Status", reads,
        [&](const Pod&) { return client.Call(&Runtime::Status, v1::StatusRequest()); });
  timed("ListImages", reads, [&](const Pod&) {
    return client.Call(&CriClient::ImageStub::ListImages, v1::ListImagesRequest());
  });
  const int fewer = std::max(reads / 4, 1);
  timed("ListContainerStats", fewer, [&](const Pod&) {
    return client.Call(&Runtime::ListContainerStats, v1::ListContainerStatsRequest());
  });
  timed("ListPodSandboxStats", fewer, [&](const Pod&) {
    return client.Call(&Runtime::ListPodSandboxStats, v1::ListPodSandboxStatsRequest());
  });
  timed("ListPodSandboxMetrics", fewer, [&](const Pod&) {
    return client.Call(&Runtime::ListPodSandboxMetrics, v1::ListPodSandboxMetricsRequest());
  });
  return verdict;
}

}  // namespace

absl::Status MeasureDensity(Target& target, const DensityPlan& plan) {
  ASSIGN_OR_RETURN(const Pods pods, target.StartPods(plan.pods));
  json memory = MemoryWith(target, pods.size());
  memory["idle_processor_percent"] = IdlePercent(target, plan.idle);
  absl::Status verdict = MeasureReads(target, pods, plan.reads);
  // What the reads left behind: descriptors, measured layers, the allocator's pages.
  memory["daemon_after_reads"] = MemoryOfDaemon(target);
  target.facts()["memory"].push_back(memory);
  verdict.Update(target.RemovePods(pods));
  return verdict;
}

}  // namespace crisp
