// Limits of a process: rlimits and I/O priority. They change the calling process.
#pragma once

#include "absl/status/status.h"
#include "base/json.h"

namespace crisp {

// process.rlimits: a hard limit that may not be raised (no CAP_SYS_RESOURCE) becomes the present
// one. process.ioPriority.
absl::Status SetProcessLimits(const Json& process);

}  // namespace crisp
