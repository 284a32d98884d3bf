// What a container's configuration may hold when an OCI runtime runs it instead of the native
// launcher: the limits under which it is built, and what is taken out afterwards. Any thread.
#pragma once

#include "base/json.h"
#include "oci/daemon_limits.h"
#include "oci/runtime_features.h"

namespace crisp {

// A mount that is to be read-only below, too, needs a runtime that knows "rro"; cgroup version 2
// beside version 1 is not the runtime's. Ids are mapped by the launcher, whatever the runtime can.
DaemonLimits LimitsOfRuntime(const DaemonLimits& limits, const RuntimeFeatures& features);

// Takes limits of huge pages out where the runtime would fail for the lack of a controller: the
// native launcher passes them over, too. Annotations that ask a sandboxed runtime (runsc) to join
// the sandbox of the pod go, for every container has one of its own here.
void FitToRuntime(Json& config, const DaemonLimits& limits);

}  // namespace crisp
