// What the verbs Exec and Attach have in common: which streams a client may ask for. Any thread.
#pragma once

#include "absl/status/status.h"
#include "base/status.h"

namespace crisp {

// CRI, ExecRequest and AttachRequest: at least one stream, and no stderr with a terminal.
template <typename Request>
absl::Status CheckStreams(const Request& request) {
  if (request.tty() && request.stderr()) {
    return absl::InvalidArgumentError(
        "tty and stderr cannot both be asked for: all output of a terminal is stdout");
  }
  if (!request.stdin() && !request.stdout() && !request.stderr()) {
    return absl::InvalidArgumentError("none of stdin, stdout and stderr is asked for");
  }
  return absl::OkStatus();
}

}  // namespace crisp
