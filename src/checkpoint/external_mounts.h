// ExternalMountsOf: which mounts of a running container are not its own: what its pod, its volumes
// and the host's cgroups lend it. They are named by where config.json wants them, so that another
// container finds them again whatever links are on the way. Any thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "checkpoint/criu.h"

namespace crisp {

// config: the container's config.json. FailedPrecondition for a place that CRIU's command line
// cannot name.
absl::StatusOr<std::vector<ExternalMount>> ExternalMountsOf(pid_t pid, const Json& config);

// A mount of config.json that is a bind: the key of it, and its source on the host.
struct BindSource {
  std::string key;
  std::string source;
};
std::vector<BindSource> BindSourcesOf(const Json& config, const std::string& bundle);

}  // namespace crisp
