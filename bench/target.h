// Target: one CRI endpoint under measurement, with its samples. The rounds of several targets take
// turns, so that drift of the machine meets all of them alike. Methods are called from one thread;
// Burst() makes threads of its own.
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
  std::vector<std::string> helper_names;  // processes that serve pods, such as crisp-monitor
};

class Target {
 public:
  explicit Target(TargetOptions options);
  Target(const Target&) = delete;

  const std::string& name() const { return options_.name; }
  Samples& samples() { return samples_; }
  const nlohmann::json& facts() const { return facts_; }

  // Waits for the endpoint, learns version and process, pulls the image unless it is there.
  absl::Status Prepare();

  // A pod from its start to its removal, every verb timed. Samples are kept if counted.
  absl::Status Round(bool counted);

  // Removes and pulls the reference, timed.
  absl::Status PullOnce(const std::string& reference);

  // This many pods, each started by a thread of its own, all at once; then removed in the same way.
  absl::Status Burst(int pods);

  // Makes pods that stay, measures reads and memory and the daemon's idle load with them, removes
  // them.
  absl::Status Density(int pods, int reads, absl::Duration idle);

 private:
  struct Pod {
    std::string id;
    std::string container;
  };
  runtime::v1::PodSandboxConfig PodConfig();
  runtime::v1::ContainerConfig ContainerConfig() const;
  // The three verbs that bring a pod to run; samples get the prefix.
  absl::StatusOr<Pod> Start(Samples& samples, const std::string& prefix);
  absl::Status Remove(Samples& samples, const std::string& prefix, const Pod& pod);
  absl::Status MeasureReads(const std::vector<Pod>& pods, int reads);
  void MeasureMemory(size_t pods);
  void MeasureIdle(absl::Duration idle, size_t pods);
  std::map<std::string, std::vector<pid_t>> Helpers() const;

  const TargetOptions options_;
  CriClient client_;
  Samples samples_;
  pid_t daemon_ = 0;
  int next_pod_ = 0;
  std::map<std::string, size_t> helpers_before_;
  nlohmann::json facts_ = nlohmann::json::object();
};

}  // namespace crisp
