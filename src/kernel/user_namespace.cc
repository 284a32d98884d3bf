#include "kernel/user_namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

std::string MapText(const std::vector<IdRange>& ranges) {
  std::string text;
  for (const IdRange& range : ranges) {
    text += Cat(range.inside, " ", range.outside, " ", range.length, "\n");
  }
  return text;
}

uint32_t RootOf(const std::vector<IdRange>& ranges) {
  for (const IdRange& range : ranges) {
    if (range.inside == 0 && range.length > 0) return range.outside;
  }
  return 0;
}

// In the child, which shares locks in unknown states with the caller's other threads: system calls
// alone, also where the C library would speak to threads that are not there.
[[noreturn]] void HoldNamespaces(int socket, int others_end, int owned) {
  ::close(others_end);  // so that the caller's death is seen as the end
  char mapped = 0;
  int error = 0;
  if (::read(socket, &mapped, 1) != 1) ::_exit(0);
  if (::syscall(SYS_setresgid, 0, 0, 0) != 0 || ::syscall(SYS_setresuid, 0, 0, 0) != 0 ||
      (owned != 0 && ::unshare(owned) != 0)) {
    error = errno;
  }
  if (::write(socket, &error, sizeof error) == sizeof error) {
    while (::read(socket, &mapped, 1) > 0) {
    }
  }
  ::_exit(0);
}

// The child's folder in /proc, which may show another PID namespace than the caller's own: there
// the child's pid is somebody else's.
absl::StatusOr<std::string> ProcFolder(int pidfd) {
  ASSIGN_OR_RETURN(const std::string info, ReadFile(Cat("/proc/self/fdinfo/", pidfd), 4096));
  constexpr std::string_view kPid = "Pid:\t";
  const size_t at = info.find(kPid);
  const size_t end = info.find('\n', at);
  if (at == std::string::npos || end == std::string::npos || info[at + kPid.size()] == '-') {
    return absl::InternalError("the child of a user namespace is not in /proc");
  }
  return Cat("/proc/", std::string_view(info).substr(at + kPid.size(), end - at - kPid.size()));
}

absl::Status StartError(int error) {
  constexpr std::string_view kWhat = "making a user namespace";
  if (error == ENOSPC || error == EUSERS) {
    return absl::ResourceExhaustedError(
        Cat(kWhat, ": the host's limit is reached; raise the sysctl user.max_user_namespaces"));
  }
  return Errno(error, Cat(kWhat));
}

}  // namespace

uid_t IdMaps::RootUid() const { return RootOf(uids); }
gid_t IdMaps::RootGid() const { return RootOf(gids); }

absl::StatusOr<NamespaceHolder> NamespaceHolder::Start(const IdMaps& maps, int owned) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoStatus("socketpair");
  }
  UniqueFd ours(ends[0]);
  UniqueFd its(ends[1]);
  int pidfd = -1;
  const pid_t pid = static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWUSER | CLONE_PIDFD | SIGCHLD,
                                                 nullptr, &pidfd, nullptr, nullptr));
  if (pid == 0) HoldNamespaces(its.get(), ours.get(), owned);
  if (pid < 0) return StartError(errno);
  const UniqueFd process(pidfd);
  NamespaceHolder holder(pid, std::move(ours));
  its.reset();
  ASSIGN_OR_RETURN(holder.proc_folder_, ProcFolder(pidfd));
  RETURN_IF_ERROR(Annotate(WriteExisting(Cat(holder.proc_folder_, "/uid_map"), MapText(maps.uids)),
                           "uid mapping"));
  RETURN_IF_ERROR(Annotate(WriteExisting(Cat(holder.proc_folder_, "/gid_map"), MapText(maps.gids)),
                           "gid mapping"));
  if (::write(holder.socket_.get(), "m", 1) != 1)
    return ErrnoStatus("waking the user namespace's child");
  int error = 0;
  ssize_t size;
  do {
    size = ::read(holder.socket_.get(), &error, sizeof error);
  } while (size < 0 && errno == EINTR);
  if (size != sizeof error) return absl::InternalError("the child of a user namespace died");
  if (error != 0) return StartError(error);
  return holder;
}

NamespaceHolder::~NamespaceHolder() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::string NamespaceHolder::Path(std::string_view name) const {
  return Cat(proc_folder_, "/ns/", name);
}

absl::StatusOr<UniqueFd> MakeUserNamespace(const IdMaps& maps) {
  ASSIGN_OR_RETURN(const NamespaceHolder holder, NamespaceHolder::Start(maps, 0));
  return OpenFile(holder.Path("user"), O_RDONLY);
}

absl::Status MapMount(int mount_fd, int user_namespace_fd, TreeDepth depth, std::string_view name) {
  struct mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(user_namespace_fd);
  const unsigned flags = AT_EMPTY_PATH | (depth == TreeDepth::kRecursive ? AT_RECURSIVE : 0);
  if (::mount_setattr(mount_fd, "", flags, &attributes, sizeof attributes) == 0) {
    return absl::OkStatus();
  }
  if (errno == EINVAL || errno == EPERM || errno == EOPNOTSUPP) {
    return absl::FailedPreconditionError(
        Cat("the ids of ", name,
            " cannot be mapped: its file system does not support id-mapped mounts, or its ids are "
            "mapped already"));
  }
  return ErrnoStatus("mapping the ids of ", name);
}

absl::Status CoverWithMapped(const std::vector<std::string>& folders, int user_namespace_fd) {
  for (const std::string& folder : folders) {
    ASSIGN_OR_RETURN(const UniqueFd mapped, CloneMount(AT_FDCWD, folder, TreeDepth::kOne));
    RETURN_IF_ERROR(MapMount(mapped.get(), user_namespace_fd, TreeDepth::kOne, folder));
    ASSIGN_OR_RETURN(const UniqueFd target, OpenFile(folder, O_PATH | O_DIRECTORY));
    RETURN_IF_ERROR(AttachMount(mapped.get(), target.get(), folder));
  }
  return absl::OkStatus();
}

}  // namespace crisp
