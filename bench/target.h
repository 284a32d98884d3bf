// Target: one CRI endpoint under measurement, with its samples and facts. The rounds of several
// targets take turns, so that drift of the machine meets all of them alike. Methods are called from
// one thread, but client() serves any; Burst() makes threads of its own.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/cri_client.h"
#include "bench/process_usage.h"
#include "bench/samples.h"
#include "nlohmann/json.hpp"

namespace crisp {

struct TargetOptions {
  std::string name;
  std::string endpoint;
  std::string image;
  std::vector<std::string> command = {"sleep", "1000000"};
  std::vector<std::string> probe = {"true"};  // what ExecSync runs
  int execs_per_pod = 5;
  std::string cgroup_parent;
  std::string runtime_handler;
  bool host_network = false;
  std::string log_folder;                 // pods' logs go below it
  std::string program_folder;             // of this program and bench-peer
  std::vector<std::string> helper_names;  // processes that serve pods, such as crisp-monitor
};

// Where a container finds bench-peer.
inline constexpr char kPeer[] = "/bench/bench-peer";

// Runs a verb and keeps its duration if it succeeded.
template <typename Work>
auto Measure(Samples& samples, const std::string& name, Work&& work) {
  const absl::Time start = absl::Now();
  auto result = work();
  const absl::Duration took = absl::Now() - start;
  if (result.ok()) samples.Add(name, took);
  return result;
}

class Target {
 public:
  struct Pod {
    std::string id;
    std::string container;
    runtime::v1::PodSandboxConfig config;
  };

  explicit Target(TargetOptions options);
  Target(const Target&) = delete;

  const std::string& name() const { return options_.name; }
  const TargetOptions& options() const { return options_; }
  CriClient& client() { return client_; }
  pid_t daemon() const { return daemon_; }
  Samples& samples() { return samples_; }
  nlohmann::json& facts() { return facts_; }

  // Waits for the endpoint, learns version and process, pulls the image unless it is there.
  absl::Status Prepare();

  // A pod from its start to its removal, every verb timed. Samples are kept if counted.
  absl::Status Round(bool counted);

  // Removes and pulls the reference, timed.
  absl::Status PullOnce(const std::string& reference);

  // This many pods, each started by a thread of its own, all at once; then removed in the same way.
  absl::Status Burst(int pods);

  // For measurements of something else. A container whose command begins with kPeer has bench-peer.
  absl::StatusOr<Pod> StartPod(const std::vector<std::string>& command);
  absl::StatusOr<Pod> StartPod() { return StartPod(options_.command); }
  // All or none.
  absl::StatusOr<std::vector<Pod>> StartPods(int count);
  absl::Status RemovePod(const Pod& pod);
  absl::Status RemovePods(const std::vector<Pod>& pods);
  runtime::v1::ContainerConfig ContainerConfig(const std::string& name,
                                               const std::vector<std::string>& command) const;
  std::string LogPath(const Pod& pod, const std::string& container) const;

  // The processes that serve pods, by name; other endpoints' are among them if they run as well.
  std::map<std::string, std::vector<pid_t>> Helpers() const;
  // How many there were at the beginning.
  size_t HelpersBefore(const std::string& name) const;

 private:
  runtime::v1::PodSandboxConfig PodConfig();
  // The three verbs that bring a pod to run; samples get the prefix.
  absl::StatusOr<Pod> Start(Samples& samples, const std::string& prefix,
                            const runtime::v1::PodSandboxConfig& config,
                            const std::vector<std::string>& command);
  absl::Status Remove(Samples& samples, const std::string& prefix, const Pod& pod);

  const TargetOptions options_;
  CriClient client_;
  Samples samples_;
  pid_t daemon_ = 0;
  int next_pod_ = 0;
  std::map<std::string, size_t> helpers_before_;
  nlohmann::json facts_ = nlohmann::json::object();
};

}  // namespace crisp
