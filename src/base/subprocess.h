// RunProcess: runs another program to its end with posix_spawn (the daemon is threaded and never
// forks), feeds it stdin, collects bounded output, kills it at the deadline. Any thread; blocks.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/call.h"

namespace crisp {

struct ProcessRequest {
  std::vector<std::string> argv;         // argv[0] is a path, not looked up in PATH
  std::vector<std::string> environment;  // "KEY=value"; exactly this, nothing inherited
  std::string stdin_data;
  size_t max_output_bytes = 4 << 20;  // of stdout and of stderr each; more is dropped
};

struct ProcessResult {
  int exit_code = 0;  // 128 + n after signal n
  std::string stdout_data;
  std::string stderr_data;
  bool truncated = false;
};

// Ok however the program exited. NotFound if it is absent, PermissionDenied if it is no program,
// DeadlineExceeded or Cancelled (process group killed and reaped) as the call says.
absl::StatusOr<ProcessResult> RunProcess(const ProcessRequest& request, const Call& call);

}  // namespace crisp
