// EventDelay: how long after a container's exit its event reaches a subscriber. The container
// itself writes the time to its log, as the last thing it does. Makes a thread of its own.
#pragma once

#include "absl/status/status.h"
#include "bench/target.h"

namespace crisp {

// Samples "exit to event".
absl::Status MeasureEventDelay(Target& target, int rounds);

}  // namespace crisp
