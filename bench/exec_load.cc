#include "bench/exec_load.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/time/clock.h"
#include "base/status.h"

namespace crisp {
namespace {

using nlohmann::json;
using Pods = std::vector<Target::Pod>;

constexpr int kCallers = 32;
// What the daemon takes for good when it is first busy: threads, their stacks, the allocator.
constexpr int kSettleCalls = 1000;

struct Usage {
  int64_t daemon_kib = 0;
  int64_t helpers_kib = 0;
  size_t descriptors = 0;
  absl::Duration processor;
};

Usage UsageOf(const Target& target) {
  Usage usage;
  std::vector<pid_t> pids;
  for (const auto& [name, all] : target.Helpers()) pids.insert(pids.end(), all.begin(), all.end());
  for (const pid_t pid : pids) {
    if (const auto use = MemoryOf(pid); use.ok()) usage.helpers_kib += use->pss_kib;
    usage.processor += ProcessorTimeOf(pid).value_or(absl::ZeroDuration());
  }
  if (const auto use = MemoryOf(target.daemon()); use.ok()) usage.daemon_kib = use->pss_kib;
  usage.processor += ProcessorTimeOf(target.daemon()).value_or(absl::ZeroDuration());
  usage.descriptors = DescriptorsOf(target.daemon());
  return usage;
}

bool Probe(Target& target, const std::string& container) {
  const auto run = target.client().ExecSync(container, target.options().probe, 10);
  return run.ok() && run->exit_code() == 0;
}

// Runs work on so many threads at once and waits for all.
template <typename Work>
void OnThreads(int count, Work&& work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([&work, i] { work(i); });
  for (std::thread& thread : threads) thread.join();
}

// At the rate, or as fast as it goes if that is infinite; the number of failures.
int Load(Target& target, const Pods& pods, int calls, double per_second, Samples* samples) {
  std::atomic<int> next = 0, failures = 0;
  const absl::Time start = absl::Now();
  OnThreads(kCallers, [&](int) {
    for (int call = next++; call < calls; call = next++) {
      const absl::Time due = start + absl::Seconds(call / per_second);
      absl::SleepFor(due - absl::Now());
      if (!Probe(target, pods[call % pods.size()].container)) ++failures;
      if (samples != nullptr) samples->Add("exec probe", absl::Now() - due);
    }
  });
  return failures;
}

// Calls a second.
absl::StatusOr<double> Rate(Target& target, const Pods& pods, int callers, int calls_each) {
  std::atomic<int> failures = 0;
  const absl::Duration took = Timed([&] {
    OnThreads(callers, [&](int caller) {
      for (int i = 0; i < calls_each; ++i)
        if (!Probe(target, pods[caller % pods.size()].container)) ++failures;
    });
  });
  if (failures > 0) return absl::InternalError(Cat(failures.load(), " execs failed"));
  return callers * calls_each / absl::ToDoubleSeconds(took);
}

}  // namespace

absl::Status MeasureProbes(Target& target, const ProbePlan& plan) {
  ASSIGN_OR_RETURN(const Pods pods, target.StartPods(plan.pods));
  const int calls = static_cast<int>(absl::ToDoubleSeconds(plan.length) * plan.per_second);
  // All callers at once first: there will hardly be more of them in the daemon at a time.
  (void)Load(target, pods, std::min(calls, kSettleCalls), 1e9, nullptr);
  (void)Load(target, pods, std::min(calls, kSettleCalls), plan.per_second, nullptr);
  const Usage before = UsageOf(target);
  int failures = 0;
  const absl::Duration took =
      Timed([&] { failures = Load(target, pods, calls, plan.per_second, &target.samples()); });
  const Usage after = UsageOf(target);
  target.facts()["probes"] = {
      {"pods", pods.size()},
      {"calls", calls},
      {"failures", failures},
      {"asked_per_second", plan.per_second},
      {"per_second", calls / absl::ToDoubleSeconds(took)},
      {"processor_percent", 100 * absl::FDivDuration(after.processor - before.processor, took)},
      {"daemon_kib", {before.daemon_kib, after.daemon_kib}},
      {"helpers_kib", {before.helpers_kib, after.helpers_kib}},
      {"descriptors", {before.descriptors, after.descriptors}}};
  return target.RemovePods(pods);
}

absl::Status MeasureParallelExecs(Target& target, int callers, int calls_each) {
  ASSIGN_OR_RETURN(const Pods pods, target.StartPods(callers));
  const Pods one = {pods.front()};
  (void)Load(target, pods, callers * calls_each / 4, 1e9, nullptr);
  const auto shared = Rate(target, one, callers, calls_each);
  const auto spread = Rate(target, pods, callers, calls_each);
  absl::Status verdict = target.RemovePods(pods);
  verdict.Update(shared.status());
  verdict.Update(spread.status());
  RETURN_IF_ERROR(verdict);
  target.facts()["parallel_execs"] = {{"callers", callers},
                                      {"calls_each", calls_each},
                                      {"per_second_one_container", *shared},
                                      {"per_second_each_its_own", *spread}};
  return absl::OkStatus();
}

}  // namespace crisp
