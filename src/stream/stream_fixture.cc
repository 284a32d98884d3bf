#include "stream/stream_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pty.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstdlib>
#include <thread>

#include "base/status.h"

namespace crisp::stream {
namespace {

void MakePipe(UniqueFd& read, UniqueFd& write) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
  read.reset(ends[0]);
  write.reset(ends[1]);
}

}  // namespace

class TestBackend::Process final : public RemoteCommand {
 public:
  explicit Process(TestBackend& backend) : backend_(backend) {
    absl::MutexLock lock(&backend_.mutex_);
    ++backend_.alive_;
  }
  ~Process() override {
    streams_ = {};
    waiter_.join();
    absl::MutexLock lock(&backend_.mutex_);
    --backend_.alive_;
  }

  absl::Status Start(const CommandRequest& request) {
    std::vector<char*> arguments;
    for (const std::string& each : request.cmd)
      arguments.push_back(const_cast<char*>(each.c_str()));
    arguments.push_back(nullptr);
    UniqueFd in, out, err;
    if (!request.tty) {
      MakePipe(in, streams_.in);
      MakePipe(streams_.out, out);
      MakePipe(streams_.err, err);
      if (!request.in) in.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!request.in) streams_.in.reset();
    }
    int terminal = -1;
    const struct winsize size = {request.size.height, request.size.width, 0, 0};
    const pid_t child = request.tty ? ::forkpty(&terminal, nullptr, nullptr, &size) : ::fork();
    if (child == 0) {
      if (!request.tty) {
        ::dup2(in.get(), 0);
        ::dup2(out.get(), 1);
        ::dup2(err.get(), 2);
      }
      sigset_t none;
      ::sigemptyset(&none);
      ::sigprocmask(SIG_SETMASK, &none, nullptr);
      ::execvp(arguments[0], arguments.data());
      ::_exit(127);
    }
    if (request.tty) {
      ::fcntl(terminal, F_SETFD, FD_CLOEXEC);
      streams_.terminal.reset(terminal);
    }
    ended_.reset(::eventfd(0, EFD_CLOEXEC));
    waiter_ = std::thread([this, child] {
      int status = 0;
      while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
      }
      code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      const uint64_t one = 1;
      (void)!::write(ended_.get(), &one, sizeof one);
    });
    return absl::OkStatus();
  }

  CommandStreams TakeStreams() override { return std::move(streams_); }
  int ended() const override { return ended_.get(); }
  absl::StatusOr<int> ExitCode() override { return code_.load(); }
  absl::Status Resize(uint16_t width, uint16_t height) override {
    absl::MutexLock lock(&backend_.mutex_);
    backend_.size_ = {width, height};
    return absl::OkStatus();
  }

 private:
  TestBackend& backend_;
  CommandStreams streams_;
  UniqueFd ended_;
  std::atomic<int> code_ = 0;
  std::thread waiter_;
};

class TestBackend::Attachment final : public RemoteCommand {
 public:
  explicit Attachment(TestBackend& backend) : backend_(backend) {
    absl::MutexLock lock(&backend_.mutex_);
    ++backend_.alive_;
  }
  ~Attachment() override {
    absl::MutexLock lock(&backend_.mutex_);
    --backend_.alive_;
  }
  CommandStreams TakeStreams() override { return std::move(streams); }
  int ended() const override { return ended_fd.get(); }
  absl::StatusOr<int> ExitCode() override { return 0; }
  absl::Status Resize(uint16_t width, uint16_t height) override {
    absl::MutexLock lock(&backend_.mutex_);
    backend_.size_ = {width, height};
    return absl::OkStatus();
  }
  CommandStreams streams;
  UniqueFd ended_fd;

 private:
  TestBackend& backend_;
};

absl::StatusOr<std::unique_ptr<RemoteCommand>> TestBackend::StartExec(const CommandRequest& request,
                                                                      const Call& call) {
  if (request.container_id != "container")
    return absl::NotFoundError(Cat("container ", request.container_id, " does not exist"));
  if (request.cmd.front() == "wait-for-cancel") {
    while (call.Check().ok()) absl::SleepFor(absl::Milliseconds(1));
    return call.Check();
  }
  auto process = std::make_unique<Process>(*this);
  RETURN_IF_ERROR(process->Start(request));
  if (request.size.width > 0)
    RETURN_IF_ERROR(process->Resize(request.size.width, request.size.height));
  return process;
}

absl::StatusOr<std::unique_ptr<RemoteCommand>> TestBackend::StartAttach(
    const CommandRequest& request, const Call&) {
  auto attachment = std::make_unique<Attachment>(*this);
  AttachEnds ends;
  if (request.in) MakePipe(ends.in, attachment->streams.in);
  if (request.out) MakePipe(attachment->streams.out, ends.out);
  if (request.err) MakePipe(attachment->streams.err, ends.err);
  attachment->ended_fd.reset(::eventfd(0, EFD_CLOEXEC));
  ends.ended.reset(::fcntl(attachment->ended_fd.get(), F_DUPFD_CLOEXEC, 0));
  absl::MutexLock lock(&mutex_);
  attachments_.push_back(std::move(ends));
  return attachment;
}

absl::StatusOr<UniqueFd> TestBackend::DialPort(const std::string& pod_id, uint16_t port,
                                               const Call&) {
  if (pod_id != "pod") return absl::NotFoundError(Cat("pod ", pod_id, " does not exist"));
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return WithCode(absl::StatusCode::kUnavailable, ErrnoStatus("connect to port ", port));
  return socket;
}

TestBackend::AttachEnds TestBackend::TakeAttachment() {
  absl::MutexLock lock(&mutex_);
  const auto there = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !attachments_.empty(); };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(20))) return {};
  AttachEnds ends = std::move(attachments_.front());
  attachments_.erase(attachments_.begin());
  return ends;
}

bool TestBackend::WaitForAlive(int count) {
  absl::MutexLock lock(&mutex_);
  const auto there = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return alive_ == count; };
  return mutex_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(20));
}

bool TestBackend::WaitForSize(uint16_t width, uint16_t height) {
  absl::MutexLock lock(&mutex_);
  const auto there = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return size_ == std::pair(width, height);
  };
  return mutex_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(20));
}

}  // namespace crisp::stream
