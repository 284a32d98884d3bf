// StateLock: makes sure that one crispd alone works on a state folder and on a root folder. Held
// for the life of the object; the kernel frees it when the process dies however it dies. Monitors
// never inherit it. Main thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

class StateLock {
 public:
  // Locks folder/crispd.lock (made if absent) and writes this process's id into it. A second daemon
  // gets FailedPrecondition, which names the process that holds the lock.
  static absl::StatusOr<StateLock> Take(const std::string& folder);

 private:
  explicit StateLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace crisp
