#include "monitor/pod_init.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

// In an empty, read-only file system of its own, with nothing of the host behind it.
absl::Status LeaveFileSystem() {
  if (unshare(CLONE_NEWNS) != 0) return ErrnoStatus("unshare the mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return ErrnoStatus("make mounts private");
  }
  // Any folder would do; /proc is always there.
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (mount("none", "/proc", "tmpfs", kFlags | MS_RDONLY, "size=4k,nr_inodes=1,mode=555") != 0) {
    return ErrnoStatus("mount an empty tmpfs");
  }
  if (chdir("/proc") != 0) return ErrnoStatus("chdir to the empty tmpfs");
  if (syscall(SYS_pivot_root, ".", ".") != 0) return ErrnoStatus("pivot_root");
  if (umount2(".", MNT_DETACH) != 0) return ErrnoStatus("unmount the host's root");
  if (chdir("/") != 0) return ErrnoStatus("chdir to the empty root");
  return absl::OkStatus();
}

absl::Status DropPrivileges() {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability) != 0) return ErrnoStatus("drop a capability");
  }
  constexpr unsigned long kLocked = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                                    SECBIT_NO_CAP_AMBIENT_RAISE |
                                    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  if (prctl(PR_SET_SECUREBITS, kLocked) != 0) return ErrnoStatus("set securebits");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return ErrnoStatus("set no_new_privs");
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capset, &header, none) != 0) return ErrnoStatus("drop all capabilities");
  return absl::OkStatus();
}

struct InitPlan {
  std::vector<UniqueFd> namespaces;  // to join
  UniqueFd user_namespace;           // may be invalid
  int report_fd = -1;
};

absl::Status Seal(const InitPlan& plan) {
  if (plan.user_namespace.valid() &&
      (syscall(SYS_setresgid, 0, 0, 0) != 0 || syscall(SYS_setresuid, 0, 0, 0) != 0)) {
    return ErrnoStatus("become the user namespace's root");
  }
  for (const UniqueFd& fd : plan.namespaces) {
    if (setns(fd.get(), 0) != 0) return ErrnoStatus("join a namespace of the pod");
  }
  if (unshare(CLONE_NEWCGROUP) != 0 && errno != EINVAL) {
    return ErrnoStatus("unshare the cgroup namespace");
  }
  RETURN_IF_ERROR(LeaveFileSystem());
  RETURN_IF_ERROR(DropPrivileges());
  prctl(PR_SET_NAME, "crisp-pod-init");
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return ErrnoStatus("make it non-dumpable");
  // Last: a change of credentials clears it.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return ErrnoStatus("set the parent death signal");
  return absl::OkStatus();
}

// Signals without a handler do not reach PID 1 from within its namespace; SIGCHLD is waited for.
[[noreturn]] void BuryForEver() {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  while (true) {
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    int signal;
    sigwait(&child, &signal);
  }
}

[[noreturn]] void RunPodInit(const InitPlan& plan) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  const absl::Status status = Seal(plan);
  if (!status.ok()) {
    const std::string_view words = FromAbsl(status.message());
    [[maybe_unused]] const ssize_t written = write(plan.report_fd, words.data(), words.size());
    _exit(1);
  }
  // The end of this pipe without a word tells the monitor that all is well.
  close_range(0, ~0U, 0);
  BuryForEver();
}

// The C library's fork cannot make namespaces; it must not know of the child, which calls no more
// of it than what works after any fork.
pid_t RawClone(unsigned long flags) {
  return static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, nullptr, nullptr, nullptr));
}

// The monitor cannot enter the user namespace, so another child does, and makes the init as its
// sister. A kernel that makes no PID namespace says so by a pid below 0.
pid_t CloneInUserNamespace(const InitPlan& plan) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t between = RawClone(SIGCHLD);
  if (between < 0) return -1;
  if (between == 0) {
    pid_t init = -1;
    if (setns(plan.user_namespace.get(), CLONE_NEWUSER) == 0) {
      init = RawClone(CLONE_NEWPID | CLONE_PARENT | SIGCHLD);
      if (init == 0) return 0;
    }
    if (init < 0) init = -errno;
    [[maybe_unused]] const ssize_t written = write(write_end.get(), &init, sizeof init);
    _exit(0);
  }
  write_end.reset();
  pid_t init = -EPIPE;
  while (read(read_end.get(), &init, sizeof init) < 0 && errno == EINTR) {
  }
  while (waitpid(between, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (init >= 0) return init;
  errno = -init;
  return -1;
}

}  // namespace

absl::StatusOr<pid_t> StartPodInit(const std::vector<std::string>& namespaces,
                                   const std::string& user_namespace) {
  InitPlan plan;
  for (const std::string& path : namespaces) {
    ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(path, O_RDONLY));
    plan.namespaces.push_back(std::move(fd));
  }
  if (!user_namespace.empty()) {
    ASSIGN_OR_RETURN(plan.user_namespace, OpenFile(user_namespace, O_RDONLY));
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("pipe2");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  plan.report_fd = write_end.get();
  const pid_t pid =
      plan.user_namespace.valid() ? CloneInUserNamespace(plan) : RawClone(CLONE_NEWPID | SIGCHLD);
  if (pid < 0) return ErrnoStatus("clone the pod's init");
  if (pid == 0) RunPodInit(plan);
  write_end.reset();
  absl::StatusOr<std::string> words = ReadFd(read_end.get(), "the pod's init");
  if (words.ok() && words->empty() && kill(pid, 0) == 0) return pid;
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  if (!words.ok()) return words.status();
  return absl::InternalError(Cat("the pod's init: ", words->empty() ? "it died" : *words));
}

}  // namespace crisp
