// Throughput: how fast bytes go through Exec and PortForward, in both directions and over both
// protocols, and how much memory the daemon takes meanwhile. Makes a thread of its own.
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "bench/target.h"

namespace crisp {

// The fact "streams": for each kind the speed (MB/s, of 10^6 bytes) and by how much the daemon's
// memory (PSS) grew at most while it ran, or the error.
absl::Status MeasureStreams(Target& target, size_t bytes);

}  // namespace crisp
