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

absl::Status Seal(const std::vector<std::string>& namespaces) {
  for (const std::string& path : namespaces) {
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
    if (setns(fd.get(), 0) != 0) return ErrnoStatus("join the namespace ", path);
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

[[noreturn]] void RunPodInit(const std::vector<std::string>& namespaces, int report_fd) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  const absl::Status status = Seal(namespaces);
  if (!status.ok()) {
    const std::string_view words = FromAbsl(status.message());
    [[maybe_unused]] const ssize_t written = write(report_fd, words.data(), words.size());
    _exit(1);
  }
  // The end of this pipe without a word tells the monitor that all is well.
  close_range(0, ~0U, 0);
  BuryForEver();
}

}  // namespace

absl::StatusOr<pid_t> StartPodInit(const std::vector<std::string>& namespaces) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("pipe2");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  // The C library's fork cannot make namespaces; it must not know of the child, which calls no more
  // of it than what works after any fork.
  const pid_t pid = static_cast<pid_t>(
      syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (pid < 0) return ErrnoStatus("clone the pod's init");
  if (pid == 0) RunPodInit(namespaces, write_end.get());
  write_end.reset();
  absl::StatusOr<std::string> words = ReadFd(read_end.get(), "the pod's init");
  if (words.ok() && words->empty() && kill(pid, 0) == 0) return pid;
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  if (!words.ok()) return words.status();
  return absl::InternalError(Cat("the pod's init: ", words->empty() ? "it died" : *words));
}

}  // namespace crisp
