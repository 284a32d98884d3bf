// ContainerTerminal: which terminal a container with one has, seen from outside. Any thread.
#pragma once

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "kernel/terminal.h"

namespace crisp {

// What is mounted on its /dev/console, or else what its first process has as stdin, stdout or
// stderr. FailedPrecondition if none of these is a terminal any more.
absl::StatusOr<TerminalNumbers> TerminalOf(pid_t pid);

// Of config.json: process.terminal.
bool HasTerminal(const Json& config);

}  // namespace crisp
