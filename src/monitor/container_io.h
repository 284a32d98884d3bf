// ContainerIo: the monitor's side of one container's stdin, stdout and stderr: pipes or a terminal,
// read as they come, written to the log and then to the attach clients. Reading never stops while
// someone can write, whatever becomes of the log or of a client. One thread; owns its descriptors,
// borrows loop and scratch memory.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "kernel/terminal.h"
#include "monitor/attach_fanout.h"
#include "monitor/log_file.h"
#include "monitor/log_line.h"
#include "monitor/read_buffer.h"

namespace crisp {

class ContainerIo {
 public:
  struct Options {
    bool terminal = false;  // the terminal comes later, by TakeTerminal()
    bool input = false;     // otherwise stdin is /dev/null, and nobody writes to a terminal
    // It is meant for one session: the first client's end of input closes stdin (not a terminal),
    // and it gets what was written before it came.
    bool input_once = false;
    std::string log_path;  // empty: output is dropped
    size_t line_max = kDefaultLogLineBytes;
  };

  // What the container's process gets; -1: /dev/null, or the terminal.
  struct ChildEnds {
    UniqueFd in, out, err;
  };

  // Opens the log, makes the pipes and begins to read.
  static absl::StatusOr<std::unique_ptr<ContainerIo>> Create(EventLoop& loop, ReadBuffer& buffer,
                                                             const Options& options);
  ~ContainerIo();

  // For the launcher, once; they must be closed when the process is launched, or the pipes never
  // end.
  ChildEnds TakeChildEnds() { return std::move(child_ends_); }

  // The terminal's controlling side: from now on it is stdin, and its output stdout.
  absl::Status TakeTerminal(UniqueFd controller);
  absl::Status Resize(TerminalSize size);

  // Logs all that was written until now, also the unfinished end of a line. Called when the
  // container's process has ended: it does not wait for the end of what others may still write.
  void Drain();

  absl::Status ReopenLog() { return log_.Reopen(); }

  // From now on the client gets what the container writes, and the container what the client does.
  absl::Status Attach(AttachFanout::Client client) { return clients_.Add(std::move(client)); }
  // The end of all clients and of the container's stdin.
  void EndClients() { clients_.End(); }

  // Nobody can write any more.
  bool ended() const { return !out_.fd.valid() && !err_.fd.valid() && !terminal_.valid(); }

 private:
  struct Output {
    Output(std::string_view name, size_t line_max, bool drops_return)
        : cutter(name, line_max, drops_return) {}
    UniqueFd fd;
    LineCutter cutter;
  };

  ContainerIo(EventLoop& loop, ReadBuffer& buffer, const Options& options, LogFile log);
  absl::Status OpenPipe(Output& output, UniqueFd& child_end);
  absl::Status WatchOutput(int fd, Output& output);
  int FdOf(const Output& output) const;
  size_t ReadOnce(Output& output);
  void DrainOutput(Output& output);
  void End(Output& output);

  EventLoop& loop_;
  ReadBuffer& buffer_;
  LogFile log_;
  const WriteLines write_;
  Output out_;
  Output err_;
  ChildEnds child_ends_;
  const bool input_;
  AttachFanout clients_;
  UniqueFd terminal_;
  UniqueFd terminal_keeper_;
};

}  // namespace crisp
