#include "launch/child_process.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

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

}  // namespace

absl::StatusOr<Launch> Fork(const ForkRequest& request) {
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
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number <= SIGRTMAX; ++number) ::sigaction(number, &action, nullptr);
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

}  // namespace crisp
