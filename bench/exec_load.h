// ExecLoad: many ExecSync calls: a steady rate of probes over a while, with what that does to
// memory and descriptors, and as many as possible from several callers at once. Makes threads of
// its own; called from one.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "bench/target.h"

namespace crisp {

struct ProbePlan {
  int pods = 20;
  double per_second = 200;
  absl::Duration length = absl::Minutes(1);
};

// The fact "probes", and the samples "exec probe": each from the moment at which it was due, so
// that a slow answer delays no clock.
absl::Status MeasureProbes(Target& target, const ProbePlan& plan);

// The fact "parallel_execs": calls a second of so many callers at once, in one container and in one
// for each.
absl::Status MeasureParallelExecs(Target& target, int callers, int calls_each);

}  // namespace crisp
