#include "pod/pod_streams.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/status.h"
#include "kernel/terminal.h"
#include "pod/attachment.h"
#include "pod/container_exec.h"
#include "pod/dial_port.h"

namespace crisp {
namespace {

class ExecCommand : public RemoteCommand {
 public:
  explicit ExecCommand(std::unique_ptr<ContainerExec> exec) : exec_(std::move(exec)) {}

  absl::Status Start(const std::string& process, const CommandRequest& request, const Call& call) {
    ASSIGN_OR_RETURN(
        streams_,
        exec_->Start(
            process,
            {.in = request.in, .out = request.out, .err = request.err, .terminal = request.tty},
            call));
    if (!request.tty) return absl::OkStatus();
    // The session owns the terminal; this is to resize it by.
    terminal_.reset(fcntl(streams_.terminal.get(), F_DUPFD_CLOEXEC, 0));
    return terminal_.valid() ? absl::OkStatus() : ErrnoStatus("duplicate an exec's terminal");
  }

  CommandStreams TakeStreams() override { return std::move(streams_); }
  int ended() const override { return exec_->ended(); }
  absl::StatusOr<int> ExitCode() override { return exec_->ExitCode(); }
  absl::Status Resize(uint16_t width, uint16_t height) override {
    if (!terminal_.valid()) return absl::FailedPreconditionError("the command has no terminal");
    return SetTerminalSize(terminal_.get(), {width, height});
  }

 private:
  const std::unique_ptr<ContainerExec> exec_;
  CommandStreams streams_;
  UniqueFd terminal_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RemoteCommand>> PodStreams::StartExec(const CommandRequest& request,
                                                                     const Call& call) {
  ASSIGN_OR_RETURN(const RunningContainer running,
                   state_.FindRunning(request.container_id, "nothing can be executed in it"));
  std::optional<TerminalSize> terminal;
  if (request.tty) terminal = {request.size.width, request.size.height};
  ASSIGN_OR_RETURN(const std::string process,
                   state_.ExecProcess(running.container, request.cmd, terminal));
  auto command = std::make_unique<ExecCommand>(
      std::make_unique<ContainerExec>(running.container, running.monitor));
  RETURN_IF_ERROR(command->Start(process, request, call));
  // Not every runtime (runsc) heeds the process's consoleSize.
  if (terminal && terminal->columns > 0) {
    RETURN_IF_ERROR(command->Resize(terminal->columns, terminal->rows));
  }
  return command;
}

absl::StatusOr<std::unique_ptr<RemoteCommand>> PodStreams::StartAttach(
    const CommandRequest& request, const Call& call) {
  ASSIGN_OR_RETURN(const RunningContainer running,
                   state_.FindRunning(request.container_id, "nobody can attach to it"));
  auto attachment = std::make_unique<Attachment>(running.container, running.monitor);
  RETURN_IF_ERROR(attachment->Start(request, call));
  return attachment;
}

absl::StatusOr<UniqueFd> PodStreams::DialPort(const std::string& pod_id, uint16_t port,
                                              const Call& call) {
  ASSIGN_OR_RETURN(const PodPointer pod, state_.table.FindPod(pod_id));
  const PodRecord record = pod->record.Get();
  if (record->phase() != record::POD_READY) {
    return absl::NotFoundError(Cat("pod ", pod->id, " is not ready: its ports are closed"));
  }
  UniqueFd netns;
  if (!HostNetwork(*record)) {
    ASSIGN_OR_RETURN(netns, OpenFile(state_.paths.Netns(pod->id), O_RDONLY));
  }
  absl::StatusOr<UniqueFd> socket = DialLocalhost(netns.get(), port, call);
  if (!socket.ok()) return Annotate(socket.status(), Cat("pod ", pod->id));
  return socket;
}

}  // namespace crisp
