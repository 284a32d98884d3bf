#include "launch/child_process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "base/file.h"
#include "base/status.h"
#include "kernel/packet_socket.h"

namespace crisp {
namespace {

// Lets the calling process's children be born in another PID namespace while it lives.
class PidNamespaceOfChildren {
 public:
  static absl::StatusOr<PidNamespaceOfChildren> Enter(int fd) {
    ASSIGN_OR_RETURN(UniqueFd own, OpenFile("/proc/self/ns/pid", O_RDONLY));
    if (::setns(fd, CLONE_NEWPID) != 0) {
      if (errno == ESRCH) return absl::FailedPreconditionError("the container no longer runs");
      return ErrnoStatus("joining the PID namespace");
    }
    return PidNamespaceOfChildren(std::move(own));
  }
  PidNamespaceOfChildren(PidNamespaceOfChildren&&) = default;
  PidNamespaceOfChildren& operator=(PidNamespaceOfChildren&&) = default;

  absl::Status Leave() {
    if (::setns(own_.get(), CLONE_NEWPID) == 0) return absl::OkStatus();
    return ErrnoStatus("returning from the container's PID namespace");
  }

 private:
  explicit PidNamespaceOfChildren(UniqueFd own) : own_(std::move(own)) {}
  UniqueFd own_;
};

long Clone(const ForkRequest& request, int* pidfd) {
  struct clone_args args = {};
  args.flags = CLONE_PIDFD | request.namespaces;
  args.pidfd = reinterpret_cast<uint64_t>(pidfd);
  args.exit_signal = SIGCHLD;
  if (request.cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(request.cgroup_fd);
  }
  return ::syscall(SYS_clone3, &args, sizeof args);
}

absl::Status CloneError(int error, const ForkRequest& request) {
  // A PID namespace without its first process takes no more.
  if (error == ENOMEM && request.pid_namespace_fd >= 0) {
    return absl::FailedPreconditionError("the container no longer runs");
  }
  return Errno(error, "clone3");
}

// What the stage tells: the child, or why there is none (then the message follows).
struct StageReport {
  pid_t pid = -1;
  int code = 0;
};

constexpr int kStagePatienceMs = 10000;
constexpr size_t kMaxStageMessage = 8 << 10;

void SendReport(int socket, const absl::StatusOr<pid_t>& child, int pidfd) {
  StageReport report;
  report.pid = child.ok() ? *child : -1;
  report.code = static_cast<int>(child.status().code());
  std::string packet(reinterpret_cast<const char*>(&report), sizeof report);
  packet += FromAbsl(child.status().message().substr(0, kMaxStageMessage));
  const std::span<const int> descriptors(&pidfd, pidfd >= 0 ? 1 : 0);
  (void)SendPacket(socket, packet, descriptors);
}

// In the stage. Returns 0 in the child that comes of it, and otherwise does not return.
void RunStage(const ForkRequest& request, UniqueFd socket) {
  absl::Status status = CleanChild();
  if (status.ok()) status = request.prepare();
  if (status.ok() && request.pid_namespace_fd >= 0 &&
      ::setns(request.pid_namespace_fd, CLONE_NEWPID) != 0) {
    status = errno == ESRCH ? absl::FailedPreconditionError("the container no longer runs")
                            : ErrnoStatus("joining the PID namespace");
  }
  if (status.ok() && ::setns(request.user_namespace_fd, CLONE_NEWUSER) != 0) {
    status = ErrnoStatus("joining the user namespace");
  }
  int pidfd = -1;
  absl::StatusOr<pid_t> child = -1;
  if (!status.ok()) {
    child = status;
  } else {
    // A sister, not a child: the caller is the one who reaps it.
    struct clone_args args = {};
    args.flags = CLONE_PIDFD | CLONE_PARENT | request.namespaces;
    args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
    const long pid = ::syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) return;
    child = static_cast<pid_t>(pid);
    if (pid < 0) child = CloneError(errno, request);
  }
  SendReport(socket.get(), child, pidfd);
  ::_exit(0);
}

absl::StatusOr<Launch> ReceiveReport(int socket, pid_t stage) {
  struct pollfd waiting = {socket, POLLIN, 0};
  int ready;
  do {
    ready = ::poll(&waiting, 1, kStagePatienceMs);
  } while (ready < 0 && errno == EINTR);
  absl::StatusOr<ReceivedPacket> packet = absl::DeadlineExceededError(
      "preparing its mounts took too long: a file system or its server does not answer");
  if (ready > 0) packet = ReceivePacket(socket);
  if (!packet.ok()) ::kill(stage, SIGKILL);
  // One that hangs in the kernel is buried by whoever reaps all children.
  while (::waitpid(stage, nullptr, ready > 0 ? 0 : WNOHANG) < 0 && errno == EINTR) {
  }
  if (absl::IsAborted(packet.status())) {
    return absl::InternalError("the process died while its mounts were prepared");
  }
  RETURN_IF_ERROR(packet.status());
  StageReport report;
  if (packet->data.size() < sizeof report) return absl::InternalError("a damaged report");
  std::memcpy(&report, packet->data.data(), sizeof report);
  if (report.pid < 0) {
    return absl::Status(static_cast<absl::StatusCode>(report.code),
                        ToAbsl(std::string_view(packet->data).substr(sizeof report)));
  }
  Launch launch;
  launch.pid = report.pid;
  if (!packet->descriptors.empty()) launch.pidfd = std::move(packet->descriptors[0]);
  return launch;
}

absl::StatusOr<Launch> ForkByStage(const ForkRequest& request) {
  ASSIGN_OR_RETURN(auto outcome, PacketSocketPair());
  ASSIGN_OR_RETURN(auto report, PacketSocketPair());
  struct clone_args args = {};
  args.flags = CLONE_NEWNS;
  args.exit_signal = SIGCHLD;
  if (request.cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(request.cgroup_fd);
  }
  const long stage = ::syscall(SYS_clone3, &args, sizeof args);
  if (stage < 0) return Errno(errno, "clone3");
  if (stage == 0) {
    report.first.reset();
    outcome.first.reset();
    RunStage(request, std::move(report.second));
    Launch child;
    child.pid = 0;
    child.outcome = std::move(outcome.second);
    return child;
  }
  report.second.reset();
  outcome.second.reset();
  ASSIGN_OR_RETURN(Launch launch, ReceiveReport(report.first.get(), static_cast<pid_t>(stage)));
  launch.outcome = std::move(outcome.first);
  return launch;
}

}  // namespace

absl::StatusOr<Launch> Fork(const ForkRequest& request) {
  if (request.user_namespace_fd >= 0) return ForkByStage(request);
  ASSIGN_OR_RETURN(auto sockets, PacketSocketPair());
  std::optional<PidNamespaceOfChildren> elsewhere;
  if (request.pid_namespace_fd >= 0) {
    ASSIGN_OR_RETURN(elsewhere, PidNamespaceOfChildren::Enter(request.pid_namespace_fd));
  }
  int pidfd = -1;
  const long pid = Clone(request, &pidfd);
  Launch launch;
  if (pid == 0) {
    launch.pid = 0;
    launch.outcome = std::move(sockets.second);
    return launch;
  }
  const int error = errno;
  if (pid > 0) {
    launch.pid = static_cast<pid_t>(pid);
    launch.pidfd.reset(pidfd);
    launch.outcome = std::move(sockets.first);
  }
  if (elsewhere.has_value()) {
    const absl::Status left = elsewhere->Leave();
    if (!left.ok()) {
      if (pid > 0) ::kill(static_cast<pid_t>(pid), SIGKILL);
      return left;
    }
  }
  if (pid < 0) return CloneError(error, request);
  return launch;
}

absl::Status CleanChild() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  // By the system call: the C library's function leaves the two signals out that are its own, and
  // whoever started crispd may have ignored these.
  const unsigned long defaults[4] = {};  // the kernel's struct sigaction
  for (int number = 1; number < _NSIG; ++number) {
    ::syscall(SYS_rt_sigaction, number, defaults, nullptr, (_NSIG - 1) / 8);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setsid();
  ::umask(0);
  for (;;) {
    const int fd = ::open("/dev/null", O_RDWR);
    if (fd < 0) return ErrnoStatus("opening /dev/null");
    if (fd > 2) {
      ::close(fd);
      return absl::OkStatus();
    }
  }
}

std::vector<char*> ExecPointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& one : strings) pointers.push_back(one.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace crisp
