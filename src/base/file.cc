#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <memory>
#include <vector>

#include "base/status.h"

namespace crisp {

absl::StatusOr<UniqueFd> OpenFile(const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd.valid()) return ErrnoStatus("open ", path);
  return fd;
}

absl::StatusOr<std::string> ReadFd(int fd, std::string_view name, size_t max_bytes) {
  std::string data;
  struct stat info;
  size_t room = 4096;
  if (fstat(fd, &info) == 0 && info.st_size > 0) {
    room = std::min(static_cast<size_t>(info.st_size), max_bytes) + 1;
  }
  size_t used = 0;
  while (true) {
    data.resize(used + room);
    const ssize_t count = read(fd, data.data() + used, room);
    if (count < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus("read ", name);
    }
    used += count;
    if (used > max_bytes) {
      return absl::ResourceExhaustedError(Cat(name, " is larger than ", max_bytes, " bytes"));
    }
    if (count == 0) break;
    room = std::max<size_t>(4096, used / 2);
  }
  data.resize(used);
  return data;
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(path, O_RDONLY));
  return ReadFd(fd.get(), path, max_bytes);
}

absl::Status WriteAll(int fd, std::string_view data, std::string_view name) {
  while (!data.empty()) {
    const ssize_t count = write(fd, data.data(), data.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus("write ", name);
    }
    data.remove_prefix(count);
  }
  return absl::OkStatus();
}

absl::Status WriteExisting(const std::string& path, std::string_view data) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(path, O_WRONLY));
  while (true) {
    const ssize_t count = write(fd.get(), data.data(), data.size());
    if (count == static_cast<ssize_t>(data.size())) return absl::OkStatus();
    if (count >= 0) return absl::InternalError(Cat("write ", path, ": short write"));
    if (errno != EINTR) return ErrnoStatus("write \"", data, "\" to ", path);
  }
}

absl::Status ReplaceFile(const std::string& path, std::string_view data, mode_t mode,
                         Durability durability) {
  static std::atomic<uint64_t> counter{0};
  const std::string draft = Cat(path, ".new-", getpid(), "-", counter.fetch_add(1));
  absl::Status status = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
    if (fchmod(fd.get(), mode) != 0) return ErrnoStatus("chmod ", draft);
    RETURN_IF_ERROR(WriteAll(fd.get(), data, draft));
    if (durability == Durability::kSurvivesPower && fsync(fd.get()) != 0)
      return ErrnoStatus("fsync ", draft);
    if (rename(draft.c_str(), path.c_str()) != 0)
      return ErrnoStatus("rename ", draft, " to ", path);
    return absl::OkStatus();
  }();
  if (!status.ok()) {
    unlink(draft.c_str());
    return status;
  }
  if (durability == Durability::kSurvivesPower) {
    ASSIGN_OR_RETURN(UniqueFd folder, OpenFile(FolderOf(path), O_RDONLY | O_DIRECTORY));
    if (fsync(folder.get()) != 0) return ErrnoStatus("fsync ", FolderOf(path));
  }
  return absl::OkStatus();
}

absl::Status MakeFolders(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0) return absl::OkStatus();
  if (errno == ENOENT) {
    const std::string parent = FolderOf(path);
    if (parent != path && parent != ".") {
      RETURN_IF_ERROR(MakeFolders(parent, mode));
      if (mkdir(path.c_str(), mode) == 0) return absl::OkStatus();
    }
  }
  if (errno == EEXIST) {
    struct stat info;
    if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return absl::OkStatus();
    return absl::FailedPreconditionError(Cat("mkdir ", path, ": it exists and is no folder"));
  }
  return ErrnoStatus("mkdir ", path);
}

namespace {

// Removes one tree with bounded stack and descriptors, however deep a container has nested it:
// what lies deeper than kMaxDepth is first moved up to the tree's own top folder.
class TreeRemover {
 public:
  static absl::Status Remove(int parent_fd, const std::string& name) {
    struct stat info;
    if (fstatat(parent_fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return errno == ENOENT ? absl::OkStatus() : ErrnoStatus("stat ", name);
    }
    TreeRemover remover(info.st_dev);
    return remover.RemoveEntry(parent_fd, name, 0);
  }

 private:
  static constexpr int kMaxDepth = 64;

  explicit TreeRemover(dev_t device) : device_(device) {}

  absl::Status RemoveEntry(int parent_fd, const std::string& name, int depth) {
    if (unlinkat(parent_fd, name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
    if (errno != EISDIR && errno != EPERM) return ErrnoStatus("unlink ", name);
    if (depth > kMaxDepth) {
      const std::string moved = Cat(".moved-up-", moved_++);
      if (renameat(parent_fd, name.c_str(), top_fd_, moved.c_str()) == 0) return absl::OkStatus();
      return ErrnoStatus("rename ", name);
    }
    RETURN_IF_ERROR(RemoveContent(parent_fd, name, depth));
    if (unlinkat(parent_fd, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return ErrnoStatus("rmdir ", name);
    }
    return absl::OkStatus();
  }

  absl::Status RemoveContent(int parent_fd, const std::string& name, int depth) {
    UniqueFd fd(openat(parent_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) return errno == ENOENT ? absl::OkStatus() : ErrnoStatus("open ", name);
    struct stat info;
    if (fstat(fd.get(), &info) != 0) return ErrnoStatus("stat ", name);
    if (info.st_dev != device_) {
      return absl::FailedPreconditionError(
          Cat("remove ", name, ": another file system is mounted there"));
    }
    if (depth == 0) top_fd_ = fd.get();
    while (true) {
      ASSIGN_OR_RETURN(const std::vector<std::string> entries, Names(fd.get(), name));
      for (const std::string& entry : entries) {
        RETURN_IF_ERROR(RemoveEntry(fd.get(), entry, depth + 1));
      }
      // The top folder may have got new entries meanwhile: those that were moved up.
      if (depth > 0 || entries.empty()) return absl::OkStatus();
    }
  }

  // All names first, then removal: readdir may miss entries of a folder that shrinks under it.
  static absl::StatusOr<std::vector<std::string>> Names(int folder_fd, const std::string& name) {
    UniqueFd copy(openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::unique_ptr<DIR, int (*)(DIR*)> folder(fdopendir(copy.get()), closedir);
    if (folder == nullptr) return ErrnoStatus("open ", name);
    copy.release();
    std::vector<std::string> names;
    while (const dirent* entry = readdir(folder.get())) {
      const std::string_view entry_name = entry->d_name;
      if (entry_name != "." && entry_name != "..") names.emplace_back(entry_name);
    }
    return names;
  }

  const dev_t device_;
  int top_fd_ = -1;
  uint64_t moved_ = 0;
};

}  // namespace

absl::Status RemoveTreeAt(int folder_fd, const std::string& name) {
  return TreeRemover::Remove(folder_fd, name);
}

absl::Status RemoveTree(const std::string& path) {
  return Annotate(RemoveTreeAt(AT_FDCWD, path), Cat("remove tree ", path));
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoStatus("unlink ", path);
}

bool PathExists(const std::string& path) {
  return faccessat(AT_FDCWD, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

std::string BaseName(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return std::string(path.substr(path.rfind('/') + 1));
}

std::string FolderOf(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(path.substr(0, slash == 0 ? 1 : slash));
}

std::string JoinPath(std::string_view folder, std::string_view name) {
  while (folder.size() > 1 && folder.back() == '/') folder.remove_suffix(1);
  while (!name.empty() && name.front() == '/') name.remove_prefix(1);
  if (folder == "/") return Cat("/", name);
  return Cat(folder, "/", name);
}

std::string CleanPath(std::string_view path) {
  const bool absolute = !path.empty() && path.front() == '/';
  std::vector<std::string_view> parts;
  for (const std::string_view part : SplitWords(path, '/')) {
    if (part == ".") continue;
    if (part == "..") {
      if (!parts.empty() && parts.back() != "..") {
        parts.pop_back();
      } else if (!absolute) {
        parts.push_back(part);
      }
      continue;
    }
    parts.push_back(part);
  }
  std::string clean;
  for (const std::string_view part : parts) {
    if (absolute || !clean.empty()) clean += '/';
    clean += part;
  }
  if (clean.empty()) return absolute ? "/" : ".";
  return clean;
}

}  // namespace crisp
