// Density: what reads cost and what memory and idle processor time are used while a number of pods
// stay. One thread.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "bench/target.h"

namespace crisp {

struct DensityPlan {
  int pods = 50;
  int reads = 200;  // calls of each
  absl::Duration idle = absl::Seconds(5);
};

// Samples get names such as "ListContainers, 50 pods"; the fact "memory" gets one more entry.
absl::Status MeasureDensity(Target& target, const DensityPlan& plan);

}  // namespace crisp
