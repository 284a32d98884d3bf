#include "kernel/namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/status.h"
#include "base/text.h"

namespace crisp {
namespace {

int CloneFlag(NamespaceKind kind) {
  switch (kind) {
    case NamespaceKind::kNetwork:
      return CLONE_NEWNET;
    case NamespaceKind::kIpc:
      return CLONE_NEWIPC;
    case NamespaceKind::kUts:
      return CLONE_NEWUTS;
  }
  return 0;
}

const char* ThreadLink(NamespaceKind kind) {
  switch (kind) {
    case NamespaceKind::kNetwork:
      return "/proc/thread-self/ns/net";
    case NamespaceKind::kIpc:
      return "/proc/thread-self/ns/ipc";
    case NamespaceKind::kUts:
      return "/proc/thread-self/ns/uts";
  }
  return "";
}

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Which namespace the sysctl with this path below /proc/sys belongs to; 0 if to none that a pod has
// of its own.
int FlagOfSysctl(std::string_view path) {
  if (StartsWith(path, "net/")) return CLONE_NEWNET;
  if (StartsWith(path, "kernel/shm") || StartsWith(path, "kernel/msg") || path == "kernel/sem" ||
      StartsWith(path, "fs/mqueue/")) {
    return CLONE_NEWIPC;
  }
  if (path == "kernel/domainname") return CLONE_NEWUTS;
  return 0;
}

const char* NameOf(int flag) {
  return flag == CLONE_NEWNET ? "network" : flag == CLONE_NEWIPC ? "IPC" : "UTS";
}

// The path below /proc/sys, by the rule of sysctl(8): the first separator, dot or slash, separates;
// the other of the two stands for a dot within a name ("net.ipv4.conf.eth0/1.forwarding").
absl::StatusOr<std::string> SysctlPath(const std::string& name) {
  std::string path = name;
  const size_t first = path.find_first_of("./");
  if (first != std::string::npos && path[first] == '.') {
    for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
  }
  for (const std::string_view part : Split(path, '/')) {
    if (part.empty() || part == "." || part == ".." || part.find('\0') != std::string_view::npos) {
      return absl::InvalidArgumentError(Cat("sysctl \"", name, "\" has no valid name"));
    }
  }
  return path;
}

// Settings of IPC are written by the root of the namespace's owner alone, whatever else may be: for
// their sake this thread takes on its identity, and its own again.
class AsRoot {
 public:
  AsRoot(uid_t uid, gid_t gid) : dumpable_(prctl(PR_GET_DUMPABLE)) {
    if (uid == 0 && gid == 0) return;
    // By system call: the C library's functions change all threads.
    changed_ = syscall(SYS_setresgid, -1, gid, -1) == 0 && syscall(SYS_setresuid, -1, uid, -1) == 0;
  }
  ~AsRoot() {
    if (!changed_) return;
    if (syscall(SYS_setresuid, -1, 0, -1) != 0 || syscall(SYS_setresgid, -1, 0, -1) != 0) abort();
    // A change of identity clears it, for the whole process.
    prctl(PR_SET_DUMPABLE, dumpable_);
  }
  AsRoot(const AsRoot&) = delete;

 private:
  const int dumpable_;
  bool changed_ = false;
};

absl::Status WriteSysctl(const std::string& name, const std::string& value, int flags,
                         const IdMaps& maps) {
  ASSIGN_OR_RETURN(const std::string path, SysctlPath(name));
  const int flag = FlagOfSysctl(path);
  if (flag == 0) {
    return absl::InvalidArgumentError(
        Cat("sysctl ", name, " belongs to no namespace of a pod: it would change the whole host"));
  }
  if ((flags & flag) == 0) {
    return absl::InvalidArgumentError(Cat("sysctl ", name, " needs the pod's own ", NameOf(flag),
                                          " namespace, but the pod uses the host's"));
  }
  const bool ipc = flag == CLONE_NEWIPC;
  const absl::Status status = [&] {
    const AsRoot root(ipc ? maps.RootUid() : 0, ipc ? maps.RootGid() : 0);
    return WriteExisting(Cat("/proc/sys/", path), value);
  }();
  if (status.ok()) return status;
  const bool callers_fault = absl::IsNotFound(status) || absl::IsInvalidArgument(status);
  return WithCode(callers_fault ? absl::StatusCode::kInvalidArgument : status.code(),
                  Annotate(status, Cat("setting sysctl ", name, " to \"", value, "\"")));
}

absl::Status WriteSysctls(const std::map<std::string, std::string>& sysctls, int flags,
                          const IdMaps& maps) {
  for (const auto& [name, value] : sysctls) RETURN_IF_ERROR(WriteSysctl(name, value, flags, maps));
  return absl::OkStatus();
}

absl::Status BringLoopbackUp() {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus("opening a socket in the new network namespace");
  ifreq request = {};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
  if (ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0)
    return ErrnoStatus("bringing lo up in the new network namespace");
  return absl::OkStatus();
}

absl::Status Pin(const std::string& link, const std::string& path) {
  RETURN_IF_ERROR(UnpinNamespace(path));
  ASSIGN_OR_RETURN(UniqueFd file, OpenFile(path, O_RDONLY | O_CREAT | O_EXCL, 0444));
  if (mount(link.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    const absl::Status status = ErrnoStatus("pinning a namespace at ", path);
    unlink(path.c_str());
    return status;
  }
  return absl::OkStatus();
}

int FlagsOf(const std::vector<PinRequest>& requests) {
  int flags = 0;
  for (const PinRequest& request : requests) flags |= CloneFlag(request.kind);
  return flags;
}

// Those that the holder has made.
absl::Status Join(const std::vector<PinRequest>& requests, const NamespaceHolder& holder) {
  for (const PinRequest& request : requests) {
    const std::string path = holder.Path(BaseName(ThreadLink(request.kind)));
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path, O_RDONLY));
    if (setns(fd.get(), CloneFlag(request.kind)) != 0) return ErrnoStatus("joining ", path);
  }
  return absl::OkStatus();
}

// On a thread of its own, which ends in the namespaces it made, or joined if there is a holder.
absl::Status MakeAndPin(const std::vector<PinRequest>& requests, const std::string& hostname,
                        const std::map<std::string, std::string>& sysctls,
                        const NamespaceHolder* holder, const IdMaps& maps) {
  const int flags = FlagsOf(requests);
  if (holder != nullptr) {
    RETURN_IF_ERROR(Join(requests, *holder));
  } else if (unshare(flags) != 0) {
    return ErrnoStatus("making the pod's namespaces");
  }
  if ((flags & CLONE_NEWNET) != 0) RETURN_IF_ERROR(BringLoopbackUp());
  if ((flags & CLONE_NEWUTS) != 0 && !hostname.empty() &&
      sethostname(hostname.data(), hostname.size()) != 0) {
    return ErrnoStatus("setting the pod's hostname to \"", hostname, "\"");
  }
  RETURN_IF_ERROR(WriteSysctls(sysctls, flags, maps));
  size_t pinned = 0;
  absl::Cleanup unpin = [&] {
    while (pinned > 0) UnpinNamespace(requests[--pinned].path).IgnoreError();
  };
  for (; pinned < requests.size(); ++pinned) {
    RETURN_IF_ERROR(Pin(ThreadLink(requests[pinned].kind), requests[pinned].path));
  }
  std::move(unpin).Cancel();
  return absl::OkStatus();
}

// Runs task on a thread that is thrown away afterwards.
absl::Status OnOwnThread(const std::function<absl::Status()>& task) {
  absl::Status result;
  try {
    std::thread thread([&] { result = task(); });
    thread.join();
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(Cat("starting a thread: ", error.what()));
  }
  return result;
}

}  // namespace

absl::Status PinNamespaces(const std::vector<PinRequest>& requests, const std::string& hostname,
                           const std::map<std::string, std::string>& sysctls,
                           const std::optional<OwnerRequest>& owner) {
  if (!owner.has_value()) {
    if (requests.empty() && sysctls.empty()) return absl::OkStatus();
    return OnOwnThread([&] { return MakeAndPin(requests, hostname, sysctls, nullptr, {}); });
  }
  ASSIGN_OR_RETURN(const NamespaceHolder holder,
                   NamespaceHolder::Start(owner->maps, FlagsOf(requests)));
  RETURN_IF_ERROR(Pin(holder.Path("user"), owner->path));
  const absl::Status status =
      OnOwnThread([&] { return MakeAndPin(requests, hostname, sysctls, &holder, owner->maps); });
  if (!status.ok()) UnpinNamespace(owner->path).IgnoreError();
  return status;
}

absl::Status UnpinNamespace(const std::string& path) {
  // A pin may have been made more than once by tries that were interrupted; a plain file answers
  // EINVAL.
  while (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  if (errno != EINVAL && errno != ENOENT) return ErrnoStatus("unpinning namespace ", path);
  return RemoveFile(path);
}

bool IsPinnedNamespace(const std::string& path) {
  struct statfs facts;
  return statfs(path.c_str(), &facts) == 0 && facts.f_type == NSFS_MAGIC;
}

absl::Status PrepareNetnsFolder(const std::string& folder) {
  RETURN_IF_ERROR(MakeFolders(folder));
  // Two daemons, or an `ip netns add`, at the same time would each stack a mount: one at a time.
  ASSIGN_OR_RETURN(UniqueFd lock, OpenFile(folder, O_RDONLY | O_DIRECTORY));
  if (flock(lock.get(), LOCK_EX) != 0) return ErrnoStatus("locking ", folder);
  if (mount("", folder.c_str(), "none", MS_SHARED | MS_REC, nullptr) == 0) return absl::OkStatus();
  if (errno != EINVAL) return ErrnoStatus("making ", folder, " a shared mount");
  // Not a mount point yet.
  if (mount(folder.c_str(), folder.c_str(), "none", MS_BIND | MS_REC, nullptr) != 0) {
    return ErrnoStatus("mounting ", folder, " on itself");
  }
  if (mount("", folder.c_str(), "none", MS_SHARED | MS_REC, nullptr) != 0) {
    return ErrnoStatus("making ", folder, " a shared mount");
  }
  return absl::OkStatus();
}

absl::Status InNamespace(int netns_fd, const std::function<absl::Status()>& task) {
  return OnOwnThread([&]() -> absl::Status {
    if (setns(netns_fd, CLONE_NEWNET) != 0) {
      const absl::Status status = ErrnoStatus("entering a network namespace");
      return absl::IsInvalidArgument(status)
                 ? WithCode(absl::StatusCode::kFailedPrecondition, status)
                 : status;
    }
    return task();
  });
}

}  // namespace crisp
