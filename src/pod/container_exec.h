// ContainerExec: one command that a monitor runs in a container, whoever its streams are for: the
// monitor starts it and tells its exit, the streams are pipes (or a terminal) between the process
// and the one who started this. Destroying it forgets the command, which goes on. One thread at a
// time.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/call.h"
#include "pod/monitor_client.h"
#include "pod/table.h"
#include "stream/backend.h"

namespace crisp {

class ContainerExec {
 public:
  struct Streams {
    bool in = false;
    bool out = false;
    bool err = false;
    bool terminal = false;             // instead of all three
    bool end_with_connection = false;  // killed if the daemon dies
  };

  ContainerExec(ContainerPointer container, std::shared_ptr<MonitorClient> monitor);
  ~ContainerExec();
  ContainerExec(const ContainerExec&) = delete;
  ContainerExec& operator=(const ContainerExec&) = delete;

  // Once. Our ends of its streams, when the program runs; process_json is PodState::ExecProcess's.
  absl::StatusOr<CommandStreams> Start(const std::string& process_json, const Streams& streams,
                                       const Call& call);

  const ContainerEntry& container() const { return *container_; }
  // After Start(): readable when the process has ended.
  int ended() const { return watch_->signal(); }
  // Once ended; Unavailable if the monitor went away first.
  absl::StatusOr<int> ExitCode() const;
  // Asks for the end of everything that it has started; the exit comes as usual.
  void Kill();

 private:
  const ContainerPointer container_;
  const std::shared_ptr<MonitorClient> monitor_;
  const std::string id_;
  std::shared_ptr<ExecWatch> watch_;
};

}  // namespace crisp
