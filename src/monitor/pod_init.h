// Pod init: PID 1 of a PID namespace that all containers of a pod share. It buries orphans and does
// nothing else: no signal from within ends it, it has no capabilities, no descriptors and no file
// system, and it dies with the monitor, which takes the namespace's other processes along.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace crisp {

// Forks it, before the monitor has opened anything; returns when it is sealed. namespaces: files of
// network, IPC and UTS namespaces for it to join, so that /proc/1/ns shows containers nothing of
// the host. user_namespace: the pod's, or empty; the PID namespace then belongs to it, and the init
// is its root without any privilege.
absl::StatusOr<pid_t> StartPodInit(const std::vector<std::string>& namespaces,
                                   const std::string& user_namespace = "");

}  // namespace crisp
