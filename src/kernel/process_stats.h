// What /proc tells of the processes of a cgroup: how many descriptors and sockets they hold, and
// one's limits. Bounded: of a cgroup with very many processes or descriptors the first are counted.
// Any thread; no state.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "kernel/stat_text.h"

namespace crisp {

struct ProcessFigures {
  uint64_t processes = 0;
  uint64_t descriptors = 0;
  uint64_t sockets = 0;
};

// Processes that end meanwhile count as processes and hold nothing.
ProcessFigures CountProcesses(const std::vector<pid_t>& pids);

// The soft limit in the line "Max open files" of /proc/PID/limits; nullopt: unlimited or unknown.
Figure OpenFilesLimit(pid_t pid);
// The same, from the file's text.
Figure ParseOpenFilesLimit(std::string_view text);

}  // namespace crisp
