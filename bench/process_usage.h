// What processes use: memory (PSS: shared pages split among those that map them) and processor
// time, read from /proc. Needs root for other users' processes. Any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace crisp {

// The process that listens on a Unix socket's path (SO_PEERCRED).
absl::StatusOr<pid_t> ListenerOf(const std::string& socket_path);

// Every process of this name (as in /proc/PID/comm, 15 characters at most).
std::vector<pid_t> ProcessesNamed(const std::string& name);

struct MemoryUse {
  int64_t pss_kib = 0;
  int64_t private_kib = 0;  // clean and dirty
};
absl::StatusOr<MemoryUse> MemoryOf(pid_t pid);

// User and system time of the process and of its children that it has waited for.
absl::StatusOr<absl::Duration> ProcessorTimeOf(pid_t pid);

// How many descriptors it has open; 0 if that cannot be told.
size_t DescriptorsOf(pid_t pid);

// Time that all processors together were busy since boot, that of virtual neighbours excluded.
absl::Duration MachineBusyTime();

}  // namespace crisp
