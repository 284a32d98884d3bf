// Bench: one run of cri-bench: several endpoints that take turns round by round, and the yardstick
// with them, so that all of them see the same machine. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bench/samples.h"
#include "bench/target.h"
#include "bench/yardstick.h"
#include "nlohmann/json.hpp"

namespace crisp {

struct BenchOptions {
  std::vector<std::string> endpoints;
  TargetOptions target;
  int rounds = 40;
  int warm_up = 3;
  int burst = 20;
  int bursts = 3;
  std::vector<int> pods = {50};
  int reads = 200;
  double idle_seconds = 5;
  std::string pull;
  int pulls = 5;
  double probes_per_second = 200;
  double probe_seconds = 0;
  int callers = 0;
  int calls_each = 200;
  int events = 0;
  size_t stream_mib = 0;
  std::string crun = "/usr/bin/crun";
};

class Bench {
 public:
  explicit Bench(BenchOptions options);

  // Everything that the options ask for, or until something fails; what was measured by then stays.
  absl::Status Run();
  bool HasSamples() const;
  nlohmann::json Result();

 private:
  absl::Status PrepareYardstick();
  absl::Status Rounds();
  absl::Status Load();
  // Each target in turn, so many times.
  template <typename Work>
  absl::Status Turns(const std::string& what, int turns, Work&& work);

  const BenchOptions options_;
  std::vector<std::unique_ptr<Target>> targets_;
  std::optional<Yardstick> yardstick_;
  Samples yardstick_samples_;
};

}  // namespace crisp
