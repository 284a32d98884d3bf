// The holder of a scope: a process that does nothing. systemd makes a scope around a process and
// drops it, cgroup and counters included, when the last one ends; the holder keeps it from before
// the container's first process until after its exit was recorded. Only with the systemd driver.
#pragma once

namespace crisp {

// crisp-monitor --hold: starts a holder, which nobody waits for, prints its process id and returns
// the program's exit code. The holder ends by SIGKILL alone, as when its cgroup is killed.
int StartScopeHolder();

}  // namespace crisp
