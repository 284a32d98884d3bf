#include "bench/target.h"

#include <unistd.h>

#include <thread>
#include <utility>

#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp {

namespace v1 = runtime::v1;

namespace {

// Runs a verb and keeps its duration if it succeeded.
template <typename Work>
auto Measure(Samples& samples, const std::string& name, Work&& work) {
  const absl::Time start = absl::Now();
  auto result = work();
  const absl::Duration took = absl::Now() - start;
  if (result.ok()) samples.Add(name, took);
  return result;
}

std::string SocketPath(const std::string& endpoint) {
  return std::string(absl::StripPrefix(absl::StripPrefix(endpoint, "unix://"), "unix:"));
}

}  // namespace

Target::Target(TargetOptions options) : options_(std::move(options)), client_(options_.endpoint) {}

absl::Status Target::Prepare() {
  RETURN_IF_ERROR(client_.WaitReady(absl::Seconds(30)));
  v1::VersionRequest request;
  ASSIGN_OR_RETURN(const auto version, client_.Call(&CriClient::RuntimeStub::Version, request));
  facts_["runtime"] = version.runtime_name();
  facts_["version"] = version.runtime_version();
  ASSIGN_OR_RETURN(daemon_, ListenerOf(SocketPath(options_.endpoint)));
  for (const auto& [name, pids] : Helpers()) helpers_before_[name] = pids.size();
  ASSIGN_OR_RETURN(const auto image, client_.ImageStatus(options_.image));
  if (!image.has_value()) RETURN_IF_ERROR(client_.Pull(options_.image).status());
  return absl::OkStatus();
}

v1::PodSandboxConfig Target::PodConfig() {
  v1::PodSandboxConfig config;
  const std::string name = Cat("bench-", getpid(), "-", next_pod_++);
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_namespace_("cri-bench");
  config.mutable_metadata()->set_uid(name);
  config.set_log_directory(JoinPath(options_.log_folder, name));
  config.mutable_linux()->set_cgroup_parent(options_.cgroup_parent);
  auto* namespaces =
      config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  namespaces->set_pid(v1::CONTAINER);
  if (options_.host_network) {
    namespaces->set_network(v1::NODE);
  } else {
    config.set_hostname(name);
  }
  return config;
}

v1::ContainerConfig Target::ContainerConfig() const {
  v1::ContainerConfig config;
  config.mutable_metadata()->set_name("main");
  config.mutable_image()->set_image(options_.image);
  config.mutable_command()->Add(options_.command.begin(), options_.command.end());
  config.set_log_path("main.log");
  auto* namespaces =
      config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  namespaces->set_pid(v1::CONTAINER);
  if (options_.host_network) namespaces->set_network(v1::NODE);
  return config;
}

absl::StatusOr<Target::Pod> Target::Start(Samples& samples, const std::string& prefix) {
  const v1::PodSandboxConfig config = PodConfig();
  const absl::Time start = absl::Now();
  Pod pod;
  ASSIGN_OR_RETURN(pod.id, Measure(samples, prefix + "RunPodSandbox", [&] {
                     return client_.RunPod(config, options_.runtime_handler);
                   }));
  ASSIGN_OR_RETURN(pod.container, Measure(samples, prefix + "CreateContainer", [&] {
                     return client_.CreateContainer(pod.id, ContainerConfig(), config);
                   }));
  RETURN_IF_ERROR(Measure(samples, prefix + "StartContainer",
                          [&] { return client_.StartContainer(pod.container); }));
  samples.Add(prefix + "pod to running", absl::Now() - start);
  return pod;
}

absl::Status Target::Remove(Samples& samples, const std::string& prefix, const Pod& pod) {
  const absl::Time start = absl::Now();
  RETURN_IF_ERROR(Measure(samples, prefix + "StopContainer",
                          [&] { return client_.StopContainer(pod.container, 0); }));
  RETURN_IF_ERROR(
      Measure(samples, prefix + "StopPodSandbox", [&] { return client_.StopPod(pod.id); }));
  RETURN_IF_ERROR(
      Measure(samples, prefix + "RemovePodSandbox", [&] { return client_.RemovePod(pod.id); }));
  samples.Add(prefix + "teardown", absl::Now() - start);
  return absl::OkStatus();
}

absl::Status Target::Round(bool counted) {
  Samples dropped;
  Samples& samples = counted ? samples_ : dropped;
  const absl::Duration busy = MachineBusyTime();
  ASSIGN_OR_RETURN(const Pod pod, Start(samples, ""));
  for (int i = 0; i < options_.execs_per_pod; ++i) {
    const auto run = Measure(samples, "ExecSync",
                             [&] { return client_.ExecSync(pod.container, options_.probe, 10); });
    RETURN_IF_ERROR(run.status());
    if (run->exit_code() != 0)
      return absl::InternalError(Cat("the probe exited with ", run->exit_code()));
  }
  RETURN_IF_ERROR(Remove(samples, "", pod));
  // Ticks are coarse (10 ms); their mean over many rounds is not.
  samples.Add("processor time of a round", MachineBusyTime() - busy);
  return absl::OkStatus();
}

absl::Status Target::PullOnce(const std::string& reference) {
  RETURN_IF_ERROR(client_.RemoveImage(reference));
  return Measure(samples_, "pull", [&] { return client_.Pull(reference); }).status();
}

absl::Status Target::Burst(int pods) {
  std::vector<absl::StatusOr<Pod>> started(pods, absl::UnknownError("not tried"));
  const auto all_at_once = [&](auto&& work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < pods; ++i) threads.emplace_back([&work, i] { work(i); });
    for (std::thread& thread : threads) thread.join();
  };
  samples_.Add("burst: all running", Timed([&] {
                 absl::Mutex mutex;  // next_pod_
                 all_at_once([&](int i) {
                   const absl::Time start = absl::Now();
                   v1::PodSandboxConfig config;
                   {
                     absl::MutexLock lock(&mutex);
                     config = PodConfig();
                   }
                   const auto id = client_.RunPod(config, options_.runtime_handler);
                   if (!id.ok()) return void(started[i] = id.status());
                   const auto container = client_.CreateContainer(*id, ContainerConfig(), config);
                   if (!container.ok()) return void(started[i] = container.status());
                   const absl::Status status = client_.StartContainer(*container);
                   if (!status.ok()) return void(started[i] = status);
                   samples_.Add("burst: pod to running", absl::Now() - start);
                   started[i] = Pod{*id, *container};
                 });
               }));
  absl::Status verdict;
  for (const auto& pod : started) verdict.Update(pod.status());
  samples_.Add("burst: all removed", Timed([&] {
                 all_at_once([&](int i) {
                   if (started[i].ok()) (void)Remove(samples_, "burst: ", *started[i]);
                 });
               }));
  return verdict;
}

absl::Status Target::Density(int count, int reads, absl::Duration idle) {
  std::vector<Pod> pods;
  Samples dropped;
  absl::Status verdict;
  for (int i = 0; i < count && verdict.ok(); ++i) {
    auto pod = Start(dropped, "");
    verdict = pod.status();
    if (pod.ok()) pods.push_back(*std::move(pod));
  }
  if (verdict.ok()) {
    MeasureMemory(pods.size());
    MeasureIdle(idle, pods.size());
    verdict = MeasureReads(pods, reads);
    // What the reads left behind: descriptors, measured layers, the allocator's pages.
    if (const auto use = MemoryOf(daemon_); use.ok()) {
      facts_["memory"]["daemon_after_reads"] = {{"pss_kib", use->pss_kib},
                                                {"private_kib", use->private_kib}};
    }
  }
  for (const Pod& pod : pods) verdict.Update(Remove(dropped, "", pod));
  return verdict;
}

absl::Status Target::MeasureReads(const std::vector<Pod>& pods, int reads) {
  for (int i = 0; i < reads; ++i) {
    const Pod& pod = pods[i % pods.size()];
    RETURN_IF_ERROR(
        Measure(samples_, "ListPodSandbox", [&] { return client_.ListPods(); }).status());
    RETURN_IF_ERROR(
        Measure(samples_, "ListContainers", [&] { return client_.ListContainers(); }).status());
    RETURN_IF_ERROR(
        Measure(samples_, "PodSandboxStatus", [&] { return client_.PodStatus(pod.id); }).status());
    RETURN_IF_ERROR(Measure(samples_, "ContainerStatus", [&] {
                      return client_.ContainerStatus(pod.container);
                    }).status());
    RETURN_IF_ERROR(Measure(samples_, "Status", [&] {
                      return client_.Call(&CriClient::RuntimeStub::Status, v1::StatusRequest());
                    }).status());
    RETURN_IF_ERROR(Measure(samples_, "ListImages", [&] { return client_.ListImages(); }).status());
    // Not every runtime has them.
    (void)Measure(samples_, "ListContainerStats", [&] {
      return client_.Call(&CriClient::RuntimeStub::ListContainerStats,
                          v1::ListContainerStatsRequest());
    });
    (void)Measure(samples_, "ListPodSandboxStats", [&] {
      return client_.Call(&CriClient::RuntimeStub::ListPodSandboxStats,
                          v1::ListPodSandboxStatsRequest());
    });
    (void)Measure(samples_, "ListPodSandboxMetrics", [&] {
      return client_.Call(&CriClient::RuntimeStub::ListPodSandboxMetrics,
                          v1::ListPodSandboxMetricsRequest());
    });
  }
  return absl::OkStatus();
}

std::map<std::string, std::vector<pid_t>> Target::Helpers() const {
  std::map<std::string, std::vector<pid_t>> helpers;
  for (const std::string& name : options_.helper_names) helpers[name] = ProcessesNamed(name);
  return helpers;
}

// The highest pids are this target's only if nobody else runs such helpers meanwhile; the report
// says how many there were before.
void Target::MeasureMemory(size_t pods) {
  nlohmann::json memory = {{"pods", pods}};
  if (const auto use = MemoryOf(daemon_); use.ok())
    memory["daemon"] = {{"pss_kib", use->pss_kib}, {"private_kib", use->private_kib}};
  double per_pod = 0;
  for (const auto& [name, pids] : Helpers()) {
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
                               {"before", helpers_before_[name]},
                               {"pss_kib", total},
                               {"private_kib", total_private},
                               {"pss_kib_median", summary.median_ms},
                               {"pss_kib_max", summary.max_ms}};
    per_pod += static_cast<double>(total) / static_cast<double>(pods);
  }
  memory["pss_kib_per_pod"] = per_pod;
  facts_["memory"] = memory;
}

void Target::MeasureIdle(absl::Duration idle, size_t pods) {
  const auto sum = [&] {
    absl::Duration total = ProcessorTimeOf(daemon_).value_or(absl::ZeroDuration());
    for (const auto& [name, pids] : Helpers()) {
      for (const pid_t pid : pids) total += ProcessorTimeOf(pid).value_or(absl::ZeroDuration());
    }
    return total;
  };
  const absl::Duration before = sum();
  absl::SleepFor(idle);
  const double share = absl::FDivDuration(sum() - before, idle);
  facts_["idle"] = {{"pods", pods}, {"processor_percent", 100 * share}};
}

}  // namespace crisp
