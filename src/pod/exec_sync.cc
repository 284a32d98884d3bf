// ExecSync: the process writes into two pipes of ours, the monitor only starts it and tells its
// exit. This thread reads both until the exit; a background child that keeps a pipe open is not
// waited for.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/status.h"
#include "kernel/packet_socket.h"
#include "oci/spec.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

constexpr size_t kMaxOutputBytes = 16 << 20;  // of each stream; the surplus is dropped
constexpr size_t kMaxInlineJson = 64 << 10;   // a longer process object goes into a memfd
constexpr absl::Duration kKillPatience = absl::Seconds(2);

// One output of the process: our end of a pipe, and what was read of it.
class Output {
 public:
  absl::Status Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("pipe2 for an exec");
    read_.reset(ends[0]);
    write_.reset(ends[1]);
    fcntl(read_.get(), F_SETFL, O_NONBLOCK);
    return absl::OkStatus();
  }
  int write_end() const { return write_.get(); }
  void CloseWriteEnd() { write_.reset(); }
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
  UniqueFd write_;
  std::string text_;
};

absl::StatusOr<UniqueFd> MemoryFile(const std::string& text) {
  UniqueFd fd(memfd_create("process.json", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus("memfd_create for an exec");
  RETURN_IF_ERROR(WriteAll(fd.get(), text, "process.json"));
  lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

// One exec under way.
class SyncExec {
 public:
  SyncExec(ContainerPointer container, std::shared_ptr<MonitorClient> monitor)
      : container_(std::move(container)),
        monitor_(std::move(monitor)),
        id_(RandomId().substr(0, 16)) {}
  ~SyncExec() { monitor_->UnwatchExec(id_); }

  absl::Status Start(const std::string& process_json, const Call& call) {
    RETURN_IF_ERROR(out_.Open());
    RETURN_IF_ERROR(err_.Open());
    ASSIGN_OR_RETURN(watch_, monitor_->WatchExec(id_));
    monitor::Request request;
    monitor::Exec& exec = *request.mutable_exec();
    exec.set_container_id(container_->id);
    exec.set_exec_id(id_);
    exec.set_has_stdout(true);
    exec.set_has_stderr(true);
    exec.set_seccomp_bpf(container_->record.Get()->seccomp_bpf());
    exec.set_end_with_connection(true);
    std::vector<int> descriptors = {out_.write_end(), err_.write_end()};
    UniqueFd file;
    if (process_json.size() <= kMaxInlineJson) {
      exec.set_process_json(process_json);
    } else {
      ASSIGN_OR_RETURN(file, MemoryFile(process_json));
      descriptors.push_back(file.get());
    }
    absl::Status status = monitor_->Ask(std::move(request), call, descriptors).status();
    out_.CloseWriteEnd();
    err_.CloseWriteEnd();
    // The caller's end: the process may start all the same.
    if (absl::IsDeadlineExceeded(status) || absl::IsCancelled(status)) Kill();
    return status;
  }

  // Reads until the process ends. The call's end and the timeout kill it.
  absl::StatusOr<v1::ExecSyncResponse> Finish(absl::Duration timeout, const Call& call) {
    const absl::Time deadline = absl::Now() + timeout;
    while (!Wait(std::min(deadline, call.deadline))) {
      if (absl::Status status = call.Check(); !status.ok()) {
        Kill();
        return Annotate(status, Cat("exec in container ", container_->id, " was killed"));
      }
      if (absl::Now() < deadline) continue;
      Kill();
      (void)WaitUntil(absl::Now() + kKillPatience);
      return absl::DeadlineExceededError(Cat("exec in container ", container_->id,
                                             " timed out after ", absl::FormatDuration(timeout),
                                             " and was killed"));
    }
    ASSIGN_OR_RETURN(const monitor::ExecExited exited, watch_->Result());
    v1::ExecSyncResponse response;
    response.set_stdout(out_.Take());
    response.set_stderr(err_.Take());
    response.set_exit_code(exited.exit_code());
    return response;
  }

 private:
  // One round of reading, at most until then; true once the process has ended and its output is
  // read.
  bool Wait(absl::Time until) {
    std::array<struct pollfd, 3> fds = {
        {{out_.fd(), POLLIN, 0}, {err_.fd(), POLLIN, 0}, {watch_->signal(), POLLIN, 0}}};
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

  void Kill() {
    monitor::Request request;
    request.mutable_kill_exec()->set_container_id(container_->id);
    request.mutable_kill_exec()->set_exec_id(id_);
    monitor_->Send(std::move(request), {}, [](const MonitorClient::Answer&) {});
  }

  const ContainerPointer container_;
  const std::shared_ptr<MonitorClient> monitor_;
  const std::string id_;
  std::shared_ptr<ExecWatch> watch_;
  Output out_;
  Output err_;
  std::array<char, 64 << 10> buffer_;
};

}  // namespace

absl::StatusOr<std::string> PodState::ExecProcess(const ContainerPointer& container,
                                                  const std::vector<std::string>& cmd, bool tty) {
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
  ASSIGN_OR_RETURN(const Json exec, BuildExecProcess(process, cmd, tty));
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
  const std::shared_ptr<MonitorClient> monitor = container->pod->monitor();
  if (container->record.Get()->phase() != record::CONTAINER_UP || !monitor) {
    return absl::FailedPreconditionError(
        Cat("container ", container->id, " is not running: nothing can be executed in it"));
  }
  ASSIGN_OR_RETURN(
      const std::string process,
      state.ExecProcess(container, {request.cmd().begin(), request.cmd().end()}, /*tty=*/false));
  auto exec = std::make_unique<SyncExec>(container, monitor);
  absl::Status started = exec->Start(process, call);
  if (!started.ok()) {
    return Annotate(started, Cat("exec in container ", container->id));
  }
  // The clock starts now that the process runs, whatever its start took.
  const absl::Duration timeout =
      request.timeout() > 0 ? absl::Seconds(request.timeout()) : absl::InfiniteDuration();
  return exec->Finish(timeout, call);
}

}  // namespace crisp
