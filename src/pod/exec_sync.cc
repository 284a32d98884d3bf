// ExecSync: the process writes into two pipes of ours, the monitor only starts it and tells its
// exit. This thread reads both until the exit; a background child that keeps a pipe open is not
// waited for.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "oci/spec.h"
#include "pod/container_exec.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

constexpr size_t kMaxOutputBytes = 16 << 20;  // of each stream; the surplus is dropped
constexpr absl::Duration kKillPatience = absl::Seconds(2);

// One output of the process: our end of its pipe, and what was read of it.
class Output {
 public:
  void Open(UniqueFd end) {
    read_ = std::move(end);
    fcntl(read_.get(), F_SETFL, O_NONBLOCK);
  }
  int fd() const { return read_.get(); }  // -1 at the end of the stream

  // Reads what is there.
  void Drain(std::span<char> buffer) {
    while (read_.valid()) {
      const ssize_t count = read(read_.get(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EAGAIN) return;
      if (count <= 0) return read_.reset();
      const size_t room = kMaxOutputBytes - text_.size();
      text_.append(buffer.data(), std::min(room, static_cast<size_t>(count)));
    }
  }
  std::string Take() { return std::move(text_); }

 private:
  UniqueFd read_;
  std::string text_;
};

// One exec under way, whose output is collected.
class SyncExec {
 public:
  explicit SyncExec(const RunningContainer& running) : exec_(running.container, running.monitor) {}

  absl::Status Start(const std::string& process_json, const Call& call) {
    ASSIGN_OR_RETURN(
        CommandStreams streams,
        exec_.Start(process_json, {.out = true, .err = true, .end_with_connection = true}, call));
    out_.Open(std::move(streams.out));
    err_.Open(std::move(streams.err));
    return absl::OkStatus();
  }

  // Reads until the process ends. The call's end and the timeout kill it.
  absl::StatusOr<v1::ExecSyncResponse> Finish(absl::Duration timeout, const Call& call) {
    const std::string& container = exec_.container().id;
    const absl::Time deadline = absl::Now() + timeout;
    while (!Wait(std::min(deadline, call.deadline))) {
      if (absl::Status status = call.Check(); !status.ok()) {
        exec_.Kill();
        return Annotate(status, Cat("exec in container ", container, " was killed"));
      }
      if (absl::Now() < deadline) continue;
      exec_.Kill();
      (void)WaitUntil(absl::Now() + kKillPatience);
      return absl::DeadlineExceededError(Cat("exec in container ", container, " timed out after ",
                                             absl::FormatDuration(timeout), " and was killed"));
    }
    ASSIGN_OR_RETURN(const int exit_code, exec_.ExitCode());
    v1::ExecSyncResponse response;
    response.set_stdout(out_.Take());
    response.set_stderr(err_.Take());
    response.set_exit_code(exit_code);
    return response;
  }

 private:
  // One round of reading, at most until then; true once the process has ended and its output is
  // read.
  bool Wait(absl::Time until) {
    std::array<struct pollfd, 3> fds = {
        {{out_.fd(), POLLIN, 0}, {err_.fd(), POLLIN, 0}, {exec_.ended(), POLLIN, 0}}};
    const absl::Duration left = std::clamp(until - absl::Now(), absl::ZeroDuration(), kCancelPoll);
    // Rounded up: waking a moment early would spin.
    (void)poll(fds.data(), fds.size(), static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    out_.Drain(buffer_);
    err_.Drain(buffer_);
    // Seen before the last read: everything that the process wrote was in the pipes by then.
    return (fds[2].revents & POLLIN) != 0;
  }

  bool WaitUntil(absl::Time until) {
    while (absl::Now() < until) {
      if (Wait(until)) return true;
    }
    return false;
  }

  ContainerExec exec_;
  Output out_;
  Output err_;
  std::array<char, 64 << 10> buffer_;
};

}  // namespace

absl::StatusOr<std::string> PodState::ExecProcess(const ContainerPointer& container,
                                                  const std::vector<std::string>& cmd,
                                                  const std::optional<TerminalSize>& terminal) {
  std::string text = container->process_json();
  if (text.empty()) {
    const std::string path = Cat(paths.Bundle(container->pod->id, container->id), "/config.json");
    ASSIGN_OR_RETURN(const std::string config_text, ReadFile(path));
    ASSIGN_OR_RETURN(const Json config, ParseJson(config_text, path));
    const Json* process = JsonMember(config, "process");
    if (process == nullptr) return absl::DataLossError(Cat(path, " has no process"));
    text = JsonText(*process);
    container->set_process_json(text);
  }
  ASSIGN_OR_RETURN(const Json process, ParseJson(text, "process"));
  ASSIGN_OR_RETURN(const Json exec, BuildExecProcess(process, cmd, terminal));
  return JsonText(exec);
}

absl::StatusOr<v1::ExecSyncResponse> PodRuntime::ExecSync(const v1::ExecSyncRequest& request,
                                                          const Call& call) {
  PodState& state = *state_;
  ASSIGN_OR_RETURN(const ContainerPointer container,
                   state.table.FindContainer(request.container_id()));
  if (request.cmd().empty()) {
    return absl::InvalidArgumentError(Cat("exec in container ", container->id, ": cmd is empty"));
  }
  ASSIGN_OR_RETURN(const RunningContainer running,
                   state.FindRunning(container->id, "nothing can be executed in it"));
  ASSIGN_OR_RETURN(
      const std::string process,
      state.ExecProcess(container, {request.cmd().begin(), request.cmd().end()}, std::nullopt));
  auto exec = std::make_unique<SyncExec>(running);
  RETURN_IF_ERROR(exec->Start(process, call));
  // The clock starts now that the process runs, whatever its start took.
  const absl::Duration timeout =
      request.timeout() > 0 ? absl::Seconds(request.timeout()) : absl::InfiniteDuration();
  return exec->Finish(timeout, call);
}

}  // namespace crisp
