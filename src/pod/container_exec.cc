#include "pod/container_exec.h"

#include <sys/mman.h>

#include "base/file.h"
#include "base/id.h"
#include "base/status.h"
#include "pod/pipe.h"

namespace crisp {
namespace {

constexpr size_t kMaxInlineJson = 64 << 10;  // a longer process object goes into a memfd

absl::StatusOr<UniqueFd> MemoryFile(const std::string& text) {
  UniqueFd fd(memfd_create("process.json", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus("memfd_create for an exec");
  RETURN_IF_ERROR(WriteAll(fd.get(), text, "process.json"));
  lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

}  // namespace

ContainerExec::ContainerExec(ContainerPointer container, std::shared_ptr<MonitorClient> monitor)
    : container_(std::move(container)),
      monitor_(std::move(monitor)),
      id_(RandomId().substr(0, 16)) {}

ContainerExec::~ContainerExec() { monitor_->UnwatchExec(id_); }

absl::StatusOr<CommandStreams> ContainerExec::Start(const std::string& process_json,
                                                    const Streams& streams, const Call& call) {
  ASSIGN_OR_RETURN(watch_, monitor_->WatchExec(id_));
  monitor::Request request;
  monitor::Exec& exec = *request.mutable_exec();
  exec.set_container_id(container_->id);
  exec.set_exec_id(id_);
  exec.set_seccomp_bpf(container_->record.Get()->seccomp_bpf());
  exec.set_end_with_connection(streams.end_with_connection);
  exec.set_terminal(streams.terminal);
  exec.set_has_stdin(streams.in && !streams.terminal);
  exec.set_has_stdout(streams.out && !streams.terminal);
  exec.set_has_stderr(streams.err && !streams.terminal);

  CommandStreams ours;
  std::vector<UniqueFd> theirs;  // closed here once they are sent, or the streams would never end
  if (exec.has_stdin()) {
    ASSIGN_OR_RETURN(PipeEnds ends, MakePipe());
    ours.in = std::move(ends.write);
    theirs.push_back(std::move(ends.read));
  }
  for (const auto& [asked, end] :
       {std::pair{exec.has_stdout(), &ours.out}, std::pair{exec.has_stderr(), &ours.err}}) {
    if (!asked) continue;
    ASSIGN_OR_RETURN(PipeEnds ends, MakePipe());
    *end = std::move(ends.read);
    theirs.push_back(std::move(ends.write));
  }
  if (process_json.size() <= kMaxInlineJson) {
    exec.set_process_json(process_json);
  } else {
    ASSIGN_OR_RETURN(UniqueFd file, MemoryFile(process_json));
    theirs.push_back(std::move(file));
  }
  std::vector<int> descriptors;
  for (const UniqueFd& fd : theirs) descriptors.push_back(fd.get());
  const absl::Status status =
      monitor_->Ask(std::move(request), call, descriptors, &ours.terminal).status();
  // The caller's end: the process may start all the same.
  if (absl::IsDeadlineExceeded(status) || absl::IsCancelled(status)) Kill();
  if (!status.ok()) return Annotate(status, Cat("exec in container ", container_->id));
  if (streams.terminal && !ours.terminal.valid()) {
    Kill();
    return absl::InternalError(
        Cat("exec in container ", container_->id, ": the monitor sent no terminal"));
  }
  return ours;
}

absl::StatusOr<int> ContainerExec::ExitCode() const {
  ASSIGN_OR_RETURN(const monitor::ExecExited exited, watch_->Result());
  return exited.exit_code();
}

void ContainerExec::Kill() {
  monitor::Request request;
  request.mutable_kill_exec()->set_container_id(container_->id);
  request.mutable_kill_exec()->set_exec_id(id_);
  monitor_->Send(std::move(request), {}, [](const MonitorClient::Answer&) {});
}

}  // namespace crisp
