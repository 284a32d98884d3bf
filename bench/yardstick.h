// Yardstick: how long this machine takes for `crun run` of a static program that does nothing, in a
// minimal bundle, and for `crun exec` of it. Divided by them, latencies of different machines and
// moments can be compared. Not thread-safe; makes and removes a folder of its own.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace crisp {

class Yardstick {
 public:
  // runtime is the path of crun; the folder has static-true and bench-peer. NotFound if one of them
  // is absent.
  static absl::StatusOr<Yardstick> Prepare(const std::string& runtime,
                                           const std::string& program_folder);
  Yardstick(Yardstick&& other) noexcept;
  Yardstick& operator=(Yardstick&&) = delete;
  ~Yardstick();

  // Runs it once.
  absl::StatusOr<absl::Duration> Measure();
  // So many execs in one container, one after the other; their median.
  absl::StatusOr<absl::Duration> MeasureExec(int execs);

 private:
  Yardstick(std::string runtime, std::string folder)
      : runtime_(std::move(runtime)), folder_(std::move(folder)) {}
  absl::Status CopyProgram(const std::string& folder, const std::string& name,
                           const std::string& new_name) const;
  // config.json of a bundle whose container runs this.
  absl::Status WriteConfig(const std::vector<std::string>& command) const;
  absl::Status Run(const std::vector<std::string>& arguments) const;
  absl::StatusOr<absl::Duration> Spawn(const std::vector<std::string>& arguments) const;
  std::vector<std::string> Words(const std::vector<std::string>& arguments) const;

  std::string runtime_;
  std::string folder_;
  int runs_ = 0;
};

}  // namespace crisp
