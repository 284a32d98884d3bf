#include "launch/copy_up.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "base/status.h"
#include "base/unique_fd.h"
#include "kernel/rooted_path.h"

namespace crisp {
namespace {

constexpr int kMaxDepth = 64;

absl::Status CopyAbout(int fd, const struct stat& about, const std::string& name) {
  const struct timespec times[] = {about.st_atim, about.st_mtim};
  if (::fchown(fd, about.st_uid, about.st_gid) != 0 || ::fchmod(fd, about.st_mode & 07777) != 0 ||
      ::futimens(fd, times) != 0) {
    return ErrnoStatus("tmpcopyup: owner and mode of ", name);
  }
  return absl::OkStatus();
}

absl::Status CopyFile(int from_folder, int to_folder, const std::string& name,
                      const struct stat& about) {
  const UniqueFd from(
      ::openat(from_folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!from.valid()) return ErrnoStatus("tmpcopyup: reading ", name);
  const UniqueFd to(
      ::openat(to_folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!to.valid()) return ErrnoStatus("tmpcopyup: writing ", name);
  for (;;) {
    const ssize_t moved = ::sendfile(to.get(), from.get(), nullptr, 1 << 20);
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return ErrnoStatus("tmpcopyup: copying ", name);
    if (moved == 0) break;
  }
  return CopyAbout(to.get(), about, name);
}

absl::Status CopyLink(int from_folder, int to_folder, const std::string& name,
                      const struct stat& about) {
  char target[PATH_MAX] = {};
  if (::readlinkat(from_folder, name.c_str(), target, sizeof target - 1) < 0 ||
      ::symlinkat(target, to_folder, name.c_str()) != 0 ||
      ::fchownat(to_folder, name.c_str(), about.st_uid, about.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus("tmpcopyup: copying the link ", name);
  }
  return absl::OkStatus();
}

absl::Status CopyFolder(UniqueFd from, int to, int depth);

absl::Status CopyEntry(int from, int to, const std::string& name, int depth) {
  struct stat about = {};
  if (::fstatat(from, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus("tmpcopyup: looking at ", name);
  }
  if (S_ISREG(about.st_mode)) return CopyFile(from, to, name, about);
  if (S_ISLNK(about.st_mode)) return CopyLink(from, to, name, about);
  if (!S_ISDIR(about.st_mode)) return absl::OkStatus();
  constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd inner_from(::openat(from, name.c_str(), kFolder));
  if (!inner_from.valid() || ::mkdirat(to, name.c_str(), 0700) != 0) {
    return ErrnoStatus("tmpcopyup: copying the folder ", name);
  }
  const UniqueFd inner_to(::openat(to, name.c_str(), kFolder));
  if (!inner_to.valid()) return ErrnoStatus("tmpcopyup: opening the folder ", name);
  RETURN_IF_ERROR(CopyFolder(std::move(inner_from), inner_to.get(), depth + 1));
  return CopyAbout(inner_to.get(), about, name);
}

absl::Status CopyFolder(UniqueFd from, int to, int depth) {
  if (depth > kMaxDepth) {
    return absl::InvalidArgumentError(Cat("tmpcopyup: folders deeper than ", kMaxDepth));
  }
  const int from_fd = from.get();
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::fdopendir(from.release()), ::closedir);
  if (folder == nullptr) return ErrnoStatus("tmpcopyup: reading a folder");
  while (const struct dirent* entry = ::readdir(folder.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") RETURN_IF_ERROR(CopyEntry(from_fd, to, name, depth));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CopyUp(int root_fd, const std::string& path, int target_fd) {
  absl::StatusOr<UniqueFd> from = OpenInRoot(root_fd, path, O_RDONLY | O_DIRECTORY);
  if (absl::IsNotFound(from.status())) return absl::OkStatus();
  if (!from.ok()) return from.status();
  struct stat about = {};
  if (::fstat(from->get(), &about) != 0) return ErrnoStatus("tmpcopyup: looking at ", path);
  // A mount's own descriptor is O_PATH: no owner can be set by it.
  const UniqueFd target(::openat(target_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!target.valid()) return ErrnoStatus("tmpcopyup: opening the new tmpfs");
  RETURN_IF_ERROR(CopyFolder(*std::move(from), target.get(), 0));
  return CopyAbout(target.get(), about, path);
}

}  // namespace crisp
