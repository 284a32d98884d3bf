// RuntimeLog: what an OCI runtime says about its failure: the file of --log with --log-format json,
// a JSON object a line with "level" and "msg". Foreign input: bounded, and never trusted to be
// JSON. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace crisp {

// The last line of level error (or fatal), else the last line, as one sentence of at most 1 KiB
// without control characters. Empty if there is none.
std::string LastRuntimeMessage(std::string_view log);

// NotFound where the message says that the program to run does not exist, else Internal.
absl::Status RuntimeFailure(std::string_view message);

}  // namespace crisp
