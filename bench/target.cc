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

v1::ContainerConfig Target::ContainerConfig(const std::string& name,
                                            const std::vector<std::string>& command) const {
  v1::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image(options_.image);
  config.mutable_command()->Add(command.begin(), command.end());
  config.set_log_path(name + ".log");
  auto* namespaces =
      config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  namespaces->set_pid(v1::CONTAINER);
  if (options_.host_network) namespaces->set_network(v1::NODE);
  if (command.empty() || command[0] != kPeer) return config;
  v1::Mount& mount = *config.add_mounts();
  mount.set_host_path(options_.program_folder);
  mount.set_container_path(FolderOf(kPeer));
  mount.set_readonly(true);
  return config;
}

std::string Target::LogPath(const Pod& pod, const std::string& container) const {
  return JoinPath(pod.config.log_directory(), container + ".log");
}

absl::StatusOr<Target::Pod> Target::Start(Samples& samples, const std::string& prefix,
                                          const v1::PodSandboxConfig& config,
                                          const std::vector<std::string>& command) {
  const v1::ContainerConfig container = ContainerConfig("main", command);
  const absl::Time start = absl::Now();
  Pod pod;
  pod.config = config;
  ASSIGN_OR_RETURN(pod.id, Measure(samples, prefix + "RunPodSandbox", [&] {
                     return client_.RunPod(config, options_.runtime_handler);
                   }));
  ASSIGN_OR_RETURN(pod.container, Measure(samples, prefix + "CreateContainer", [&] {
                     return client_.CreateContainer(pod.id, container, config);
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
  ASSIGN_OR_RETURN(const Pod pod, Start(samples, "", PodConfig(), options_.command));
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

absl::Status Target::Burst(int count) {
  std::vector<v1::PodSandboxConfig> configs;
  for (int i = 0; i < count; ++i) configs.push_back(PodConfig());
  std::vector<absl::StatusOr<Pod>> pods(count, absl::UnknownError("not tried"));
  const auto all_at_once = [&](auto&& work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) threads.emplace_back([&work, i] { work(i); });
    for (std::thread& thread : threads) thread.join();
  };
  samples_.Add("burst: all running", Timed([&] {
                 all_at_once([&](int i) {
                   pods[i] = Start(samples_, "burst: ", configs[i], options_.command);
                 });
               }));
  absl::Status verdict;
  for (const auto& pod : pods) verdict.Update(pod.status());
  samples_.Add("burst: all removed", Timed([&] {
                 all_at_once([&](int i) {
                   if (pods[i].ok()) (void)Remove(samples_, "burst: ", *pods[i]);
                 });
               }));
  return verdict;
}

absl::StatusOr<Target::Pod> Target::StartPod(const std::vector<std::string>& command) {
  Samples dropped;
  return Start(dropped, "", PodConfig(), command);
}

absl::StatusOr<std::vector<Target::Pod>> Target::StartPods(int count) {
  std::vector<Pod> pods;
  for (int i = 0; i < count; ++i) {
    auto pod = StartPod();
    if (!pod.ok()) {
      (void)RemovePods(pods);
      return pod.status();
    }
    pods.push_back(*std::move(pod));
  }
  return pods;
}

absl::Status Target::RemovePod(const Pod& pod) {
  Samples dropped;
  return Remove(dropped, "", pod);
}

absl::Status Target::RemovePods(const std::vector<Pod>& pods) {
  absl::Status verdict;
  for (const Pod& pod : pods) verdict.Update(RemovePod(pod));
  return verdict;
}

std::map<std::string, std::vector<pid_t>> Target::Helpers() const {
  std::map<std::string, std::vector<pid_t>> helpers;
  for (const std::string& name : options_.helper_names) helpers[name] = ProcessesNamed(name);
  return helpers;
}

size_t Target::HelpersBefore(const std::string& name) const {
  const auto found = helpers_before_.find(name);
  return found == helpers_before_.end() ? 0 : found->second;
}

}  // namespace crisp
