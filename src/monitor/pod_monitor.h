// PodMonitor: what the monitor does for each request, and the containers and execs that it does it
// to. Knows connections only by number; answers and events go out through the functions it is
// given. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/monitor.pb.h"
#include "monitor/container_process.h"
#include "monitor/exec_process.h"
#include "monitor/monitor_parts.h"

namespace crisp {

inline constexpr uint32_t kMonitorProtocol = 1;

class PodMonitor {
 public:
  struct Identity {
    std::string pod_id;
    pid_t init_pid = 0;  // 0: the pod has no init
  };
  struct Outlets {
    // The answer to one request; the descriptor, if valid, travels with it.
    std::function<void(uint64_t connection, const monitor::Reply&, UniqueFd)> reply;
    // An event for every connection that has said Hello.
    std::function<void(const monitor::Packet&)> event;
    // After a Shutdown has been answered.
    std::function<void()> ended;
  };

  PodMonitor(const MonitorParts& parts, Identity identity, Outlets outlets);
  ~PodMonitor();

  // Answers now or later, exactly once.
  void Handle(uint64_t connection, const monitor::Request& request,
              std::vector<UniqueFd> descriptors);
  // Execs that shall end with it are killed.
  void ConnectionClosed(uint64_t connection);
  // Kills everything and calls Outlets::ended, as Shutdown does.
  void ShutDown();
  bool ended() const { return ended_; }
  // The pod's init is no more: its number must not be told to anyone.
  void InitEnded() { identity_.init_pid = 0; }

 private:
  struct Caller {
    uint64_t connection;
    uint64_t request;
  };
  using ExecKey = std::pair<std::string, std::string>;  // container, exec

  // Ids become names of folders, so they may not climb.
  static absl::Status CheckId(std::string_view id, std::string_view what);
  void Answer(const Caller& caller, const absl::Status& status);
  void Answer(const Caller& caller, monitor::Reply reply, UniqueFd descriptor = UniqueFd());
  absl::StatusOr<ContainerProcess*> Find(const std::string& container_id);

  void Hello(const Caller& caller, const monitor::Hello& request);
  void Start(const Caller& caller, const monitor::StartContainer& request);
  void Restore(const Caller& caller, const monitor::RestoreContainer& request);
  // The new container, and what is to happen when its start and its life end.
  std::pair<ContainerProcess*, ContainerProcess::Callbacks> NewContainer(
      const Caller& caller, const monitor::StartContainer& request);
  absl::Status CheckStart(const monitor::StartContainer& request) const;
  void StartEnded(const Caller& caller, ContainerProcess& container, const absl::Status& status);
  absl::Status Signal(const monitor::SignalContainer& request);
  void Exec(const Caller& caller, const monitor::Exec& request, std::vector<UniqueFd> descriptors);
  absl::StatusOr<ContainerProcess*> CheckExec(const monitor::Exec& request);
  void ExecStartEnded(const Caller& caller, const ExecKey& key, const absl::Status& status,
                      UniqueFd terminal);
  void ExecEnded(const ExecKey& key, int exit_code);
  absl::Status Attach(const monitor::Attach& request, std::vector<UniqueFd> descriptors);
  absl::Status KillExec(const monitor::KillExec& request);
  void RemoveExecCgroups(const ExecKey& ended);
  absl::Status Reopen(const monitor::ReopenLog& request);
  absl::Status Forget(const monitor::ForgetContainer& request);
  absl::Status Resize(const monitor::ResizeTerminal& request);

  void FillState(monitor::Reply& reply) const;
  void SendExit(const ContainerProcess& container);
  void KillAll();
  void CheckShutDown();
  void GiveUp();

  const MonitorParts parts_;
  Identity identity_;
  const Outlets outlets_;
  std::map<std::string, std::unique_ptr<ContainerProcess>> containers_;
  std::map<ExecKey, std::unique_ptr<ExecProcess>> execs_;
  std::vector<ExecKey> lingering_;  // ended execs whose sub-cgroup something still lives in
  bool shutting_down_ = false;
  bool ended_ = false;
  std::vector<Caller> shutdown_callers_;
};

}  // namespace crisp
