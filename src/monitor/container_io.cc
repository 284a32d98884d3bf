#include "monitor/container_io.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <time.h>

#include <algorithm>
#include <cerrno>

#include "base/status.h"
#include "monitor/clock.h"

namespace crisp {
namespace {

// What is read at most after a container's end from a terminal, whose fill is not known.
constexpr size_t kTerminalDrainBytes = 256 << 10;

absl::Status MakeNonBlocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return ErrnoStatus("fcntl");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ContainerIo>> ContainerIo::Create(EventLoop& loop,
                                                                 ReadBuffer& buffer,
                                                                 const Options& options) {
  ASSIGN_OR_RETURN(LogFile log, LogFile::Open(options.log_path));
  std::unique_ptr<ContainerIo> io(new ContainerIo(loop, buffer, options, std::move(log)));
  if (options.terminal) return io;
  RETURN_IF_ERROR(io->OpenPipe(io->out_, io->child_ends_.out));
  RETURN_IF_ERROR(io->OpenPipe(io->err_, io->child_ends_.err));
  if (options.input) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("make a pipe for stdin");
    io->child_ends_.in = UniqueFd(ends[0]);
    UniqueFd our_end(ends[1]);
    RETURN_IF_ERROR(MakeNonBlocking(our_end.get()));
    io->clients_.SetInput(std::move(our_end));
  }
  return io;
}

ContainerIo::ContainerIo(EventLoop& loop, ReadBuffer& buffer, const Options& options, LogFile log)
    : loop_(loop),
      buffer_(buffer),
      log_(std::move(log)),
      write_([this](std::span<const struct iovec> lines) { log_.Write(lines); }),
      out_("stdout", options.line_max, options.terminal),
      err_("stderr", options.line_max, false),
      input_(options.input),
      clients_(loop, buffer, options.input_once && !options.terminal,
               options.input && options.input_once) {}

ContainerIo::~ContainerIo() {
  for (const int fd : {out_.fd.get(), err_.fd.get(), terminal_.get()}) {
    if (fd >= 0) loop_.Remove(fd);
  }
}

absl::Status ContainerIo::OpenPipe(Output& output, UniqueFd& child_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("make a pipe for output");
  output.fd = UniqueFd(ends[0]);
  child_end = UniqueFd(ends[1]);
  // Only our end: the container's program expects to wait when it writes faster than it is read.
  RETURN_IF_ERROR(MakeNonBlocking(output.fd.get()));
  return WatchOutput(output.fd.get(), output);
}

absl::Status ContainerIo::WatchOutput(int fd, Output& output) {
  return loop_.Add(fd, EPOLLIN, [this, &output](uint32_t) { ReadOnce(output); });
}

absl::Status ContainerIo::TakeTerminal(UniqueFd controller) {
  RETURN_IF_ERROR(MakeNonBlocking(controller.get()));
  terminal_ = std::move(controller);
  // While this is open, a program that closes its terminal and opens it again makes no false end.
  terminal_keeper_ =
      UniqueFd(ioctl(terminal_.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  if (input_) {
    // A descriptor of its own, as the loop knows each but once.
    UniqueFd end(fcntl(terminal_.get(), F_DUPFD_CLOEXEC, 0));
    if (!end.valid()) return ErrnoStatus("duplicate the terminal");
    clients_.SetInput(std::move(end));
  }
  return WatchOutput(terminal_.get(), out_);
}

absl::Status ContainerIo::Resize(TerminalSize size) {
  if (!terminal_.valid()) return absl::FailedPreconditionError("it has no terminal");
  return SetTerminalSize(terminal_.get(), size);
}

int ContainerIo::FdOf(const Output& output) const {
  return output.fd.valid() || &output != &out_ ? output.fd.get() : terminal_.get();
}

// One read, at most a pipe's usual capacity, and its lines; 0 if there was nothing.
size_t ContainerIo::ReadOnce(Output& output) {
  const std::span<char> bytes = buffer_.Bytes();
  const ssize_t count = read(FdOf(output), bytes.data(), bytes.size());
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return 0;
  if (count <= 0) {
    // The end of a pipe, or EIO: nobody has the terminal open any more.
    End(output);
    return 0;
  }
  buffer_.Used(count);
  const std::string_view text(bytes.data(), count);
  output.cutter.Take(text, LogTime(UnixNanos()), write_);
  clients_.Write(&output == &err_ ? AttachFanout::Stream::kErr : AttachFanout::Stream::kOut, text);
  return count;
}

void ContainerIo::Drain() {
  terminal_keeper_.reset();
  DrainOutput(out_);
  DrainOutput(err_);
}

void ContainerIo::DrainOutput(Output& output) {
  const int fd = FdOf(output);
  if (fd < 0) return;
  // What a pipe holds now was written before now; what a background process adds later is read
  // later.
  size_t left = kTerminalDrainBytes;
  if (int waiting = 0; fd == output.fd.get() && ioctl(fd, FIONREAD, &waiting) == 0) {
    // One read more sees the end of a pipe that nobody writes to any more.
    left = static_cast<size_t>(waiting) + 1;
  }
  while (left > 0) {
    const size_t count = ReadOnce(output);
    if (count == 0) break;
    left -= std::min(left, count);
  }
  output.cutter.Finish(LogTime(UnixNanos()), write_);
}

void ContainerIo::End(Output& output) {
  output.cutter.Finish(LogTime(UnixNanos()), write_);
  loop_.Remove(FdOf(output));
  if (output.fd.valid()) {
    output.fd.reset();
  } else {
    terminal_.reset();
  }
}

}  // namespace crisp
