#include "kernel/rooted_path.h"

#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <deque>

#include "base/file.h"
#include "base/status.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr int kMaxLinks = 40;
constexpr int kMaxComponents = 1024;
// ".." makes the kernel give EAGAIN whenever something is renamed or mounted anywhere meanwhile.
constexpr int kMaxTries = 512;

int OpenAt2(int folder_fd, const std::string& path, int flags, mode_t mode, uint64_t resolve) {
  struct open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = resolve;
  for (int i = 0;; ++i) {
    const long fd = ::syscall(SYS_openat2, folder_fd, path.c_str(), &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR) || i == kMaxTries) {
      return static_cast<int>(fd);
    }
  }
}

absl::StatusOr<UniqueFd> Open(int folder_fd, std::string_view path, int flags, mode_t mode,
                              uint64_t resolve) {
  const std::string name = path.empty() ? "." : std::string(path);
  UniqueFd fd(OpenAt2(folder_fd, name, flags, mode, resolve));
  if (fd.valid()) return fd;
  if (errno == EXDEV) {
    return absl::PermissionDeniedError(Cat("\"", path, "\" leads to another mount"));
  }
  if (errno == ELOOP) {
    return absl::PermissionDeniedError(
        Cat("\"", path, "\" leads through a link that may not be followed, or too many"));
  }
  return ErrnoStatus("opening \"", path, "\" inside the container's root");
}

bool IsProcfs(int fd) {
  struct statfs about = {};
  return ::fstatfs(fd, &about) != 0 || about.f_type == PROC_SUPER_MAGIC;
}

// Walks a path whose end may be missing, and makes folders where they are. `resolved` never holds a
// link when it is looked at; should one appear meanwhile, NO_SYMLINKS makes the next step fail.
class FolderMaker {
 public:
  FolderMaker(int root_fd, mode_t mode) : root_fd_(root_fd), mode_(mode) {}

  absl::StatusOr<UniqueFd> Make(std::string_view path) {
    Push(path);
    while (!left_.empty()) {
      const std::string name = std::move(left_.front());
      left_.pop_front();
      RETURN_IF_ERROR(Step(name, path));
    }
    return OpenInRootNoLinks(root_fd_, resolved_, O_PATH | O_DIRECTORY);
  }

 private:
  void Push(std::string_view path) {
    const std::vector<std::string_view> parts = SplitWords(path, '/');
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) left_.emplace_front(*part);
  }

  absl::Status Step(const std::string& name, std::string_view whole) {
    if (name == ".") return absl::OkStatus();
    if (name == "..") {
      resolved_ = resolved_ == "/" ? resolved_ : FolderOf(resolved_);
      return absl::OkStatus();
    }
    if (++steps_ > kMaxComponents) {
      return absl::InvalidArgumentError(Cat("path \"", whole, "\" is too deep"));
    }
    ASSIGN_OR_RETURN(const UniqueFd parent,
                     OpenInRootNoLinks(root_fd_, resolved_, O_PATH | O_DIRECTORY));
    struct stat about = {};
    const bool there = ::fstatat(parent.get(), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0;
    const int error = errno;
    if ((!there || S_ISLNK(about.st_mode)) && IsProcfs(parent.get())) {
      // Which links are there, /proc/self/fd/N, depends on the moment, and what they say is not
      // where they lead.
      return absl::PermissionDeniedError(Cat("\"", whole, "\" leads through a link of procfs"));
    }
    errno = error;
    if (!there) {
      if (errno != ENOENT) return ErrnoStatus("looking at \"", name, "\" of \"", whole, "\"");
      if (::mkdirat(parent.get(), name.c_str(), mode_) != 0 && errno != EEXIST) {
        return ErrnoStatus("making folder \"", name, "\" of \"", whole,
                           "\" inside the container's root");
      }
    } else if (S_ISLNK(about.st_mode)) {
      return Follow(parent.get(), name, whole);
    }
    resolved_ = JoinPath(resolved_, name);
    return absl::OkStatus();
  }

  absl::Status Follow(int parent, const std::string& name, std::string_view whole) {
    if (++links_ > kMaxLinks) {
      return absl::InvalidArgumentError(Cat("path \"", whole, "\" leads through too many links"));
    }
    char target[PATH_MAX];
    const ssize_t size = ::readlinkat(parent, name.c_str(), target, sizeof target);
    if (size < 0) return ErrnoStatus("reading the link \"", name, "\" of \"", whole, "\"");
    const std::string_view text(target, static_cast<size_t>(size));
    if (text.rfind('/', 0) == 0) resolved_ = "/";
    Push(text);
    return absl::OkStatus();
  }

  const int root_fd_;
  const mode_t mode_;
  std::string resolved_ = "/";
  std::deque<std::string> left_;
  int links_ = 0;
  int steps_ = 0;
};

}  // namespace

absl::StatusOr<UniqueFd> OpenInRoot(int root_fd, std::string_view path, int flags, mode_t mode) {
  return Open(root_fd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

absl::StatusOr<UniqueFd> OpenInRootNoLinks(int root_fd, std::string_view path, int flags) {
  return Open(root_fd, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
}

absl::StatusOr<UniqueFd> OpenBeneathSameMount(int folder_fd, std::string_view path, int flags) {
  return Open(folder_fd, path, flags, 0,
              RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

absl::StatusOr<UniqueFd> MakeFoldersInRoot(int root_fd, std::string_view path, mode_t mode) {
  absl::StatusOr<UniqueFd> there = OpenInRoot(root_fd, path, O_PATH | O_DIRECTORY);
  if (there.ok() || !absl::IsNotFound(there.status())) return there;
  return FolderMaker(root_fd, mode).Make(path);
}

absl::StatusOr<UniqueFd> MakeMountpoint(int root_fd, std::string_view path, MountpointKind kind) {
  absl::StatusOr<UniqueFd> there = OpenInRoot(root_fd, path);
  if (there.ok() || !absl::IsNotFound(there.status())) return there;
  if (kind == MountpointKind::kFolder) return FolderMaker(root_fd, 0755).Make(path);
  const std::string clean = CleanPath(path);
  ASSIGN_OR_RETURN(const UniqueFd folder, MakeFoldersInRoot(root_fd, FolderOf(clean)));
  const std::string name = BaseName(clean);
  // O_EXCL: a link whose target is missing is no place for a file.
  const UniqueFd made(::openat(folder.get(), name.c_str(),
                               O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!made.valid()) {
    return ErrnoStatus("making the file \"", path, "\" to mount on, inside the container's root");
  }
  return OpenInRootNoLinks(folder.get(), name);
}

}  // namespace crisp
