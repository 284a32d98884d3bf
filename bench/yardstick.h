// Yardstick: how long this machine takes for `crun run` of a static program that does nothing, in a
// minimal bundle. Divided by it, latencies of different machines and moments can be compared. Not
// thread-safe; makes and removes a folder of its own.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace crisp {

class Yardstick {
 public:
  // runtime is the path of crun; static_true that of a statically linked program that exits with 0.
  // NotFound if either is absent.
  static absl::StatusOr<Yardstick> Prepare(const std::string& runtime,
                                           const std::string& static_true);
  Yardstick(Yardstick&& other) noexcept;
  Yardstick& operator=(Yardstick&&) = delete;
  ~Yardstick();

  // Runs it once.
  absl::StatusOr<absl::Duration> Measure();

 private:
  Yardstick(std::string runtime, std::string folder)
      : runtime_(std::move(runtime)), folder_(std::move(folder)) {}
  absl::Status WriteBundle(const std::string& static_true);
  absl::Status Run(const std::vector<std::string>& arguments) const;

  std::string runtime_;
  std::string folder_;
  int runs_ = 0;
};

}  // namespace crisp
