// What a container's configuration may hold when an OCI runtime runs it instead of the native
// launcher: the limits under which it is built, and what is taken out afterwards. Any thread.
#pragma once

#include "base/json.h"
#include "oci/daemon_limits.h"

namespace crisp {

// Cgroup version 2 beside version 1 is not the runtime's.
DaemonLimits LimitsOfRuntime(const DaemonLimits& limits);

// Takes limits of huge pages out where the runtime would fail for the lack of a controller: the
// native launcher passes them over, too. Annotations that ask a sandboxed runtime (runsc) to join
// the sandbox of the pod go, for every container has one of its own here.
void FitToRuntime(Json& config, const DaemonLimits& limits);

}  // namespace crisp
