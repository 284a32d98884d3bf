// Hooks: programs that config.json wants run at points of a container's start (OCI runtime-spec,
// "POSIX-platform Hooks"). crisp runs createContainer (the host's programs, in the container's
// namespaces, before its root is entered) and startContainer (the container's programs, as its own
// user, before its program). Used in the forked child alone.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "base/json.h"

namespace crisp {

// What a hook reads from its stdin.
struct HookState {
  std::string container_id, bundle;
  pid_t pid = 0;  // the container's first process, in the host's PID namespace
  const char* status = "creating";
};

bool HasHooks(const Json& config, const char* name);

// Unimplemented for the kinds that are not run: a hook must never be passed over.
absl::Status CheckHooks(const Json& config);

// Runs all of the kind `name`, one after the other; the first that exits with anything but 0 or
// takes too long (its own timeout, or 60 s) is an error with the end of what it wrote.
absl::Status RunHooks(const Json& config, const char* name, const HookState& state);

}  // namespace crisp
