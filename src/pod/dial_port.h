// Connects to a port of localhost as a network namespace sees it. Any thread: none of the caller's
// threads ever enters the namespace.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/call.h"
#include "base/unique_fd.h"

namespace crisp {

// 127.0.0.1 first, then ::1. netns_fd -1: the network namespace of this process. The socket is
// non-blocking. Unavailable if nothing listens; waits at most 10 s for one that listens but does
// not accept.
absl::StatusOr<UniqueFd> DialLocalhost(int netns_fd, uint16_t port, const Call& call);

}  // namespace crisp
