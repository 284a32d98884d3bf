// MonitorProgram: the program crisp-monitor, opened once as a read-only, detached clone of its
// mount, and started from there. No container can reach that clone to overwrite the program
// (CVE-2019-5736), and replacing the file on disk does not change what runs. Any thread; Spawn
// takes about a millisecond.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/call.h"
#include "base/unique_fd.h"

namespace crisp {

struct SpawnedMonitor {
  pid_t pid = 0;
  UniqueFd pidfd;  // readable when it has ended; then reap with waitid(P_PIDFD)
};

class MonitorProgram {
 public:
  static absl::StatusOr<MonitorProgram> Open(const std::string& path);

  // Starts a monitor for the pod; listener becomes its descriptor 3, stdin and stdout are
  // /dev/null, stderr is ours.
  absl::StatusOr<SpawnedMonitor> Spawn(std::string_view pod_id, int listener,
                                       const std::vector<std::string>& options) const;

  // Starts the holder of a scope (monitor/scope_holder.h), which init inherits.
  absl::StatusOr<pid_t> StartHolder(const Call& call) const;

  // True: containers are kept from it by the read-only clone. False: an old kernel; plain path.
  bool protected_clone() const { return clone_; }

 private:
  MonitorProgram(UniqueFd program, std::string path, bool clone)
      : program_(std::move(program)), path_(std::move(path)), clone_(clone) {}

  UniqueFd program_;
  std::string path_;
  bool clone_;
};

// Field 22 of /proc/PID/stat, which with the pid names a process for good; 0 if there is no such
// process.
uint64_t ProcessStartTicks(pid_t pid);

}  // namespace crisp
