// ContainerRestore: CRIU at work on one container, from its launch to the moment the container's
// first process is known to run, or why it does not. That process is the monitor's own child. One
// thread; borrows the parts.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "launch/launcher.h"
#include "monitor/monitor_parts.h"
#include "monitor/pending_launch.h"

namespace crisp {

class ContainerRestore {
 public:
  struct Restored {
    pid_t pid = 0;
    UniqueFd pidfd;
    UniqueFd terminal;         // controlling end, when asked for
    std::optional<int> ended;  // its wait status: it came back and has ended already
  };
  // Called once, from the loop, unless Start failed; may destroy the ContainerRestore.
  using Done = std::function<void(absl::StatusOr<Restored>)>;

  ContainerRestore(const MonitorParts& parts, std::string container_id);
  ContainerRestore(const ContainerRestore&) = delete;
  ~ContainerRestore();

  // The descriptors in the request are needed during the call alone. After `patience` CRIU is
  // killed.
  absl::Status Start(const RestoreRequest& request, absl::Duration patience, Done done);
  // CRIU dies; Done tells.
  void Kill();

 private:
  void LaunchEnded(Outcome outcome);
  void CriuEnded(int wait_status);
  absl::StatusOr<Restored> Result(int wait_status);
  void Finish(absl::StatusOr<Restored> result);

  const MonitorParts parts_;
  const std::string id_;
  std::string work_;
  absl::Duration patience_;
  Done done_;
  pid_t criu_ = 0;
  UniqueFd criu_pidfd_;
  UniqueFd terminal_;
  std::optional<PendingLaunch> pending_;
  EventLoop::TimerId timer_ = 0;
  bool timed_out_ = false;
};

}  // namespace crisp
