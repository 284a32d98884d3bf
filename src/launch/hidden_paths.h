// Hidden paths: linux.maskedPaths and linux.readonlyPaths. A masked file is covered by the
// container's null device, a masked folder by an empty read-only tmpfs; both are attached at a
// descriptor, so nothing can be swapped between look and mount. Used in the forked child alone.
#pragma once

#include "absl/status/status.h"
#include "base/json.h"

namespace crisp {

// Paths that do not exist are passed over.
absl::Status HidePaths(int root_fd, const Json& config);

}  // namespace crisp
