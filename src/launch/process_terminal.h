// A process's pseudo terminal, from the container's own devpts. Used in the forked child alone.
#pragma once

#include "absl/status/statusor.h"
#include "base/json.h"
#include "base/unique_fd.h"

namespace crisp {

struct ProcessTerminal {
  UniqueFd controller;
  UniqueFd terminal;
};

// process: for consoleSize. The ends are tied to each other by the kernel, never by a name in
// /dev/pts, which a hostile mount could redirect (CVE-2025-52565).
absl::StatusOr<ProcessTerminal> MakeTerminal(int root_fd, const Json& process);

// Mounts the terminal on the container's /dev/console.
absl::Status BindConsole(int root_fd, int terminal_fd);

}  // namespace crisp
