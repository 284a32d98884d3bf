// What the error stream says at a command's end: from v4 on a metav1.Status in JSON, before that
// plain text, and nothing for a success. Pure; any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace crisp::stream {

// outcome is the exit code, or why there is none.
std::string ExitStatusText(int protocol_version, const absl::StatusOr<int>& outcome);

}  // namespace crisp::stream
