// Signals by pidfd: they reach the process that was meant or none, never another that got its
// number. Any thread.
#pragma once

#include "absl/status/status.h"

namespace crisp {

// Ok also if the process has ended and was not reaped yet; NotFound if it was.
absl::Status SignalProcess(int pidfd, int signal);

}  // namespace crisp
