// ContainerProcess: one container from its start to its exit: has its process launched, owns its
// input and output, and ends with an exit record on disk. One thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "api/monitor.pb.h"
#include "kernel/cgroup.h"
#include "monitor/container_io.h"
#include "monitor/container_restore.h"
#include "monitor/monitor_parts.h"
#include "monitor/pending_launch.h"

namespace crisp {

class ContainerProcess {
 public:
  struct Callbacks {
    // The end of the start, from the event loop: ok if the program runs, else exit() is set.
    std::function<void(const absl::Status&)> started;
    // It ran and has ended: exit() is set and on disk.
    std::function<void()> exited;
  };

  ContainerProcess(const MonitorParts& parts, const monitor::StartContainer& request);
  ~ContainerProcess();

  // Begins the start, of which callbacks.started tells the end. An error ends it at once; then,
  // too, exit() is set and on disk.
  absl::Status Start(const monitor::StartContainer& request, Callbacks callbacks);
  // The same out of a checkpoint.
  absl::Status Restore(const monitor::RestoreContainer& request, Callbacks callbacks);

  const std::string& id() const { return id_; }
  bool starting() const { return pending_.has_value() || restore_.has_value(); }
  bool running() const { return started_at_ > 0 && !exited(); }
  bool exited() const { return exit_ != nullptr; }
  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }
  int64_t started_at() const { return started_at_; }
  const monitor::ExitRecord& exit() const { return *exit_; }
  const std::string& cgroup_path() const { return cgroup_path_; }
  const std::string& bundle() const { return bundle_; }
  const RuntimeProgram& runtime() const { return runtime_; }
  // Nothing if the container has no cgroup of its own.
  std::optional<Cgroup> ItsCgroup() const;

  // FailedPrecondition unless it runs; with `all` also afterwards, for what its process left
  // behind.
  absl::Status Signal(int signal, bool all);
  absl::Status ReopenLog();
  absl::Status Resize(TerminalSize size);
  absl::Status Attach(AttachFanout::Client client);

  // Kills all of it, in any state; the exit comes as usual.
  void Kill();
  // Records the exit of a process that does not die.
  void GiveUp();

 private:
  absl::StatusOr<ContainerIo::ChildEnds> OpenIo(const monitor::StartContainer& request);
  StartRequest StartOf(const monitor::StartContainer& request,
                       const ContainerIo::ChildEnds& ends) const;
  absl::Status Launch(const monitor::StartContainer& request);
  absl::Status LaunchRestore(const monitor::RestoreContainer& request);
  void LaunchEnded(Outcome outcome);
  void RestoreEnded(absl::StatusOr<ContainerRestore::Restored> result);
  void Watch();
  void ProcessEnded(pid_t pid, int wait_status);
  void FailStart(const absl::Status& status);
  void Record(monitor::ExitRecord record);
  absl::Status CheckRunning() const;

  const MonitorParts parts_;
  const std::string id_;
  const std::string bundle_;
  const std::string cgroup_path_;
  const RuntimeProgram runtime_;
  Callbacks callbacks_;
  std::unique_ptr<ContainerIo> io_;
  std::optional<PendingLaunch> pending_;
  std::optional<ContainerRestore> restore_;
  pid_t pid_ = 0;
  UniqueFd pidfd_;
  int64_t started_at_ = 0;
  std::unique_ptr<monitor::ExitRecord> exit_;
};

}  // namespace crisp
