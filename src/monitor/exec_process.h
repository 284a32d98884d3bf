// ExecProcess: one further process in a running container, in a sub-cgroup of its own so that it
// can be killed with everything that it started. Its input and output belong to the daemon. One
// thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/monitor.pb.h"
#include "monitor/container_process.h"
#include "monitor/monitor_parts.h"
#include "monitor/pending_launch.h"

namespace crisp {

class ExecProcess {
 public:
  struct Callbacks {
    // The end of the start, from the event loop; the terminal's controlling end if one was asked
    // for. After an error the ExecProcess is of no more use.
    std::function<void(const absl::Status&, UniqueFd terminal)> started;
    std::function<void(int exit_code)> exited;
  };

  ExecProcess(const MonitorParts& parts, const monitor::Exec& request, uint64_t connection);
  ~ExecProcess();

  // An error ends it at once. The descriptors are those of the request, in its order.
  absl::Status Start(const monitor::Exec& request, const ContainerProcess& container,
                     std::vector<UniqueFd> descriptors, Callbacks callbacks);

  const std::string& container_id() const { return container_id_; }
  const std::string& id() const { return id_; }
  pid_t pid() const { return pid_; }
  bool starting() const { return pending_.has_value(); }
  // The connection whose end is its end, too; 0: none.
  uint64_t connection() const { return connection_; }

  // Kills its whole tree, or, where that is in a sandbox, its process group; the exit comes as
  // usual.
  void Kill();

 private:
  void LaunchEnded(Outcome outcome);
  void Watch();
  void ProcessEnded(pid_t pid, int wait_status);
  void JudgeFailure(int looks);
  void TellExit(int exit_code);
  bool LostItsSandbox() const;
  void KillInSandbox();
  void KillerEnded(int wait_status);
  void KillHere();

  const MonitorParts parts_;
  const std::string container_id_;
  const std::string id_;
  const uint64_t connection_;
  std::optional<Cgroup> cgroup_;
  Callbacks callbacks_;
  std::optional<PendingLaunch> pending_;
  pid_t pid_ = 0;
  UniqueFd pidfd_;
  // Of a sandboxed runtime.
  std::string bundle_;
  RuntimeProgram runtime_;
  UniqueFd sandbox_;  // pidfd
  EventLoop::TimerId verdict_ = 0;
  pid_t inner_ = 0;
  bool kill_asked_ = false;
  std::optional<Launch> killer_;
};

}  // namespace crisp
