// SystemdScope: a transient scope unit of systemd, which makes a cgroup and hands it over
// (Delegate=). For the daemon alone: uses libsystemd's sd-bus, a connection a call, so any thread
// may call and nothing goes stale when systemd is executed anew. Calls take a few milliseconds.
// docs/operating.md says what it is for.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/json.h"
#include "base/unique_fd.h"

namespace crisp {

struct ScopeRequest {
  std::string name;   // "crisp-<id>.scope"
  std::string slice;  // "kubepods-pod1.slice"; systemd makes what is missing of it
  std::string description;
  int pidfd = -1;  // the scope's first process; borrowed
  pid_t pid = 0;   // the same, for a systemd that knows no pidfds (before 256)
  Json resources;  // linux.resources of OCI
};

// Whether systemd is this host's init and can be asked: FailedPrecondition says why not.
absl::Status CheckSystemd();

// Makes the scope with the process in it and returns when its cgroup is there. One of this name
// that is left from before is stopped first. Unavailable if systemd cannot be asked.
absl::Status StartScope(const ScopeRequest& request);

// Changes the limits of a running scope until the next boot.
absl::Status SetScopeResources(const std::string& name, const Json& resources);

// Stops a scope or slice and forgets a failure of it. Ok if there is none.
absl::Status StopUnit(const std::string& name);

}  // namespace crisp
