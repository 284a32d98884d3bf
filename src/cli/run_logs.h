// Where `crisp run` keeps the logs of the pods that it makes, and how `crisp rm` knows them again:
// kubelet looks after the logs of its pods itself, so somebody has to for these. Pure functions but
// for RemoveRunLogs. One thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/client.h"

namespace crisp {

inline constexpr char kRunLogsAnnotation[] = "io.crisp.run.logs";

// The folder below which run's logs are: "<root of the daemon>/logs".
absl::StatusOr<std::string> RunLogsRoot(Client& client);

// Removes the pod's log folder if `crisp run` made it; ok for any other pod.
absl::Status RemoveRunLogs(const cri::PodSandbox& pod, const std::string& root);

}  // namespace crisp
