// RestoreTerminal: a terminal for a checkpointed container that comes back. CRIU cannot make one
// whose controlling end is to leave the container, so it is made here, with the number that it had
// and in a new devpts, which CRIU mounts in the container as it does any mount from outside. Used
// in the forked child alone, which has cut its mounts off from the host's.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "launch/process_terminal.h"

namespace crisp {

struct RestoreTerminal {
  ProcessTerminal ends;
  std::string name;     // what CRIU's images call the terminal
  std::string devpts;   // where its file system is mounted now
  std::string console;  // its path there
};

// images: with terminal.json, which the dump left. folder: existing; what is mounted below it is
// seen by this process alone. FailedPrecondition if the checkpoint does not tell of a terminal.
absl::StatusOr<RestoreTerminal> MakeRestoreTerminal(const Json& config, const std::string& images,
                                                    const std::string& folder);

}  // namespace crisp
