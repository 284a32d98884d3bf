#include "image/layer_writer.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr uint64_t kEarlyWrite = 4 << 20;  // files from this size on go to disk while they come

UniqueFd OpenInside(int root, const char* path, uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  while (true) {
    const long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    return UniqueFd(static_cast<int>(fd));
  }
}

bool IsWhiteout(int parent, const char* leaf) {
  struct stat info;
  return fstatat(parent, leaf, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(info.st_mode) &&
         info.st_rdev == 0;
}

absl::Status MarkOpaque(int folder, std::string_view path) {
  if (fsetxattr(folder, "trusted.overlay.opaque", "y", 1, 0) == 0) return absl::OkStatus();
  return ErrnoStatus("mark ", path, " as opaque");
}

timespec TimeOf(const TarEntry& entry) {
  return {static_cast<time_t>(entry.mtime), static_cast<long>(entry.mtime_ns)};
}

absl::Status SetTime(int folder, const char* leaf, const timespec& time, std::string_view path) {
  const timespec times[2] = {time, time};
  // A time that the file system cannot hold is clamped by it; anything else is an error.
  if (utimensat(folder, leaf, times, AT_SYMLINK_NOFOLLOW) == 0) return absl::OkStatus();
  return ErrnoStatus("set the time of ", path);
}

// What an image may set: no trusted.* (overlayfs would believe it), none of overlayfs's own, no
// security label of this machine.
bool IsAllowedXattr(std::string_view name) {
  if (name.starts_with("user.overlay.")) return false;
  return name.starts_with("user.") || name == "security.capability" ||
         name == "system.posix_acl_access" || name == "system.posix_acl_default";
}

}  // namespace

absl::StatusOr<std::string> CleanEntryPath(std::string_view path) {
  std::string clean;
  for (const std::string_view part : SplitWords(path, '/')) {
    if (part == ".") continue;
    if (part == "..")
      return absl::InvalidArgumentError(
          Cat("path \"", path.substr(0, 200), "\" in the layer climbs with \"..\""));
    if (part.size() > 255)
      return absl::InvalidArgumentError(
          Cat("a name in the layer is longer than 255 bytes: ", part.substr(0, 60), "..."));
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  if (clean.size() > 4095)
    return absl::InvalidArgumentError(
        Cat("a path in the layer is longer than 4095 bytes: ", clean.substr(0, 60), "..."));
  return clean;
}

absl::StatusOr<LayerWriter> LayerWriter::Open(const std::string& folder,
                                              const LayerBounds& bounds) {
  ASSIGN_OR_RETURN(UniqueFd root, OpenFile(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return LayerWriter(std::move(root), folder, bounds);
}

absl::Status LayerWriter::Failure(std::string_view what, std::string_view path) const {
  return ErrnoStatus(what, " ", path, " in layer folder ", name_);
}

absl::StatusOr<UniqueFd> LayerWriter::OpenFolder(const std::string& path) const {
  UniqueFd folder =
      OpenInside(root_.get(), path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!folder.valid()) return Failure("open folder", path);
  return folder;
}

// The folder that holds `path`, made if absent, and the last name of it.
absl::StatusOr<int> LayerWriter::ParentOf(std::string_view path, std::string_view* leaf) {
  const size_t slash = path.rfind('/');
  *leaf = path.substr(slash == std::string_view::npos ? 0 : slash + 1);
  const std::string_view parent = path.substr(0, slash == std::string_view::npos ? 0 : slash);
  if (parent.empty()) return root_.get();
  if (parent_.valid() && parent == parent_path_) return parent_.get();
  const std::string wanted(parent);
  UniqueFd folder = OpenInside(root_.get(), wanted.c_str(), O_RDONLY | O_DIRECTORY);
  if (!folder.valid()) {
    if (errno == ELOOP) {
      return absl::InvalidArgumentError(
          Cat("the layer's symbolic links on the way to ", wanted.substr(0, 200), " form a loop"));
    }
    if (errno != ENOENT && errno != ENOTDIR) return Failure("open folder", wanted);
    ASSIGN_OR_RETURN(folder, MakeParents(wanted));
  }
  parent_ = std::move(folder);
  parent_path_ = wanted;
  return parent_.get();
}

// Makes the folders of `path` that the archive left out.
absl::StatusOr<UniqueFd> LayerWriter::MakeParents(const std::string& path) {
  UniqueFd folder(fcntl(root_.get(), F_DUPFD_CLOEXEC, 0));
  if (!folder.valid()) return Failure("open", "the root");
  std::string done;
  for (const std::string_view part_view : SplitWords(path, '/')) {
    const std::string part(part_view);
    done += Cat(done.empty() ? "" : "/", part);
    UniqueFd next = OpenInside(root_.get(), done.c_str(), O_RDONLY | O_DIRECTORY);
    if (!next.valid()) {
      const bool whiteout = IsWhiteout(folder.get(), part.c_str());
      if (whiteout && unlinkat(folder.get(), part.c_str(), 0) != 0) return Failure("remove", done);
      if (mkdirat(folder.get(), part.c_str(), 0755) != 0) {
        if (errno != EEXIST) return Failure("make folder", done);
        return absl::InvalidArgumentError(Cat("the layer puts ", path.substr(0, 200), " below ",
                                              done.substr(0, 200), ", which is no folder"));
      }
      next.reset(
          openat(folder.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!next.valid()) return Failure("open folder", done);
      if (fchmod(next.get(), 0755) != 0) return Failure("chmod", done);
      if (whiteout) RETURN_IF_ERROR(MarkOpaque(next.get(), done));
      if (++entries_ > bounds_.max_entries)
        return absl::ResourceExhaustedError(
            Cat("the layer has more than ", bounds_.max_entries, " entries"));
      implied_.push_back(done);
      ++inodes_;
    }
    folder = std::move(next);
  }
  return folder;
}

absl::StatusOr<bool> LayerWriter::Clear(int parent, const std::string& leaf) {
  const bool whiteout = IsWhiteout(parent, leaf.c_str());
  if (unlinkat(parent, leaf.c_str(), 0) != 0 && errno != ENOENT) {
    if (errno != EISDIR && errno != EPERM) return Failure("replace", leaf);
    RETURN_IF_ERROR(RemoveTreeAt(parent, leaf));
  }
  // The remembered folder may have lain below what has just gone.
  if (parent != parent_.get()) {
    parent_.reset();
    parent_path_.clear();
  }
  return whiteout;
}

absl::Status LayerWriter::Apply(const TarEntry& entry, TarReader& reader) {
  if (++entries_ > bounds_.max_entries) {
    return absl::ResourceExhaustedError(
        Cat("the layer has more than ", bounds_.max_entries, " entries"));
  }
  ASSIGN_OR_RETURN(const std::string path, CleanEntryPath(entry.path));
  if (path.empty()) {
    if (entry.type != TarEntry::Type::kFolder)
      return absl::InvalidArgumentError(
          "the layer replaces its own root by something that is no folder");
    return DescribeFolder(root_.get(), path, entry);
  }
  std::string_view leaf_view;
  ASSIGN_OR_RETURN(const int parent, ParentOf(path, &leaf_view));
  const std::string leaf(leaf_view);
  if (leaf.starts_with(kWhiteout)) return ApplyWhiteout(parent, leaf, path);
  ++inodes_;
  switch (entry.type) {
    case TarEntry::Type::kFile:
      return MakeFile(parent, leaf, entry, reader);
    case TarEntry::Type::kFolder:
      return MakeFolder(parent, leaf, path, entry);
    case TarEntry::Type::kHardLink:
      return MakeHardLink(parent, leaf, path, entry);
    default:
      return MakeSpecial(parent, leaf, entry);
  }
}

absl::Status LayerWriter::ApplyWhiteout(int parent, std::string_view leaf,
                                        const std::string& path) {
  if (leaf == kOpaque) return MarkOpaque(parent, path);
  if (leaf.starts_with(".wh..wh.")) return absl::OkStatus();  // AUFS's own
  const std::string hidden(leaf.substr(kWhiteout.size()));
  if (hidden.empty() || hidden == "." || hidden == "..") {
    return absl::InvalidArgumentError(
        Cat("the layer's whiteout ", path.substr(0, 200), " names nothing"));
  }
  if (mknodat(parent, hidden.c_str(), S_IFCHR, makedev(0, 0)) == 0) {
    ++inodes_;
    return absl::OkStatus();
  }
  if (errno != EEXIST) return Failure("make whiteout", path);
  // A whiteout counts for the layers below alone (OCI image layer specification, "Whiteouts"): what
  // this layer itself holds stays, and a folder hides what is below it.
  UniqueFd folder(openat(parent, hidden.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return folder.valid() ? MarkOpaque(folder.get(), path) : absl::OkStatus();
}

absl::Status LayerWriter::MakeFile(int parent, const std::string& leaf, const TarEntry& entry,
                                   TarReader& reader) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd file(openat(parent, leaf.c_str(), kFlags, 0600));
  if (!file.valid() && errno == EEXIST) {
    RETURN_IF_ERROR(Clear(parent, leaf).status());
    file.reset(openat(parent, leaf.c_str(), kFlags, 0600));
  }
  if (!file.valid()) return Failure("create", entry.path);
  RETURN_IF_ERROR(WriteData(file.get(), entry, reader));
  // In this order: chown drops setuid bits and capabilities, and all of it sets the time.
  if ((entry.uid != 0 || entry.gid != 0) && fchown(file.get(), entry.uid, entry.gid) != 0)
    return Failure("chown", entry.path);
  if (fchmod(file.get(), entry.mode) != 0) return Failure("chmod", entry.path);
  RETURN_IF_ERROR(SetXattrs(file.get(), entry));
  const timespec times[2] = {TimeOf(entry), TimeOf(entry)};
  if (futimens(file.get(), times) != 0) return Failure("set the time of", entry.path);
  return absl::OkStatus();
}

absl::Status LayerWriter::WriteData(int fd, const TarEntry& entry, TarReader& reader) {
  if (entry.size > bounds_.max_bytes - bytes_) {
    return absl::ResourceExhaustedError(
        Cat("the layer unpacks to more than ", bounds_.max_bytes, " bytes"));
  }
  uint64_t written = 0, started = 0;
  while (true) {
    ASSIGN_OR_RETURN(std::string_view piece, reader.NextData());
    if (piece.empty()) break;
    bytes_ += piece.size();
    written += piece.size();
    while (!piece.empty()) {
      const ssize_t count = write(fd, piece.data(), piece.size());
      if (count < 0 && errno != EINTR) return Failure("write", entry.path);
      if (count > 0) piece.remove_prefix(count);
    }
    // The disk is to work while the processor does; the wait comes once, at the layer's end.
    if (written - started >= kEarlyWrite) {
      sync_file_range(fd, started, written - started, SYNC_FILE_RANGE_WRITE);
      started = written;
    }
  }
  return absl::OkStatus();
}

absl::Status LayerWriter::MakeFolder(int parent, const std::string& leaf, const std::string& path,
                                     const TarEntry& entry) {
  bool opaque = false;
  if (mkdirat(parent, leaf.c_str(), 0700) != 0) {
    if (errno != EEXIST) return Failure("make folder", path);
    struct stat info;
    if (fstatat(parent, leaf.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return Failure("stat", path);
    if (!S_ISDIR(info.st_mode)) {
      ASSIGN_OR_RETURN(opaque, Clear(parent, leaf));
      if (mkdirat(parent, leaf.c_str(), 0700) != 0) return Failure("make folder", path);
    }
  }
  UniqueFd folder(openat(parent, leaf.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid()) return Failure("open folder", path);
  if (opaque) RETURN_IF_ERROR(MarkOpaque(folder.get(), path));
  return DescribeFolder(folder.get(), path, entry);
}

absl::Status LayerWriter::DescribeFolder(int folder, const std::string& path,
                                         const TarEntry& entry) {
  if (fchown(folder, entry.uid, entry.gid) != 0) return Failure("chown", path);
  if (fchmod(folder, entry.mode) != 0) return Failure("chmod", path);
  RETURN_IF_ERROR(SetXattrs(folder, entry));
  if (!implied_.empty()) std::erase(implied_, path);
  folder_times_.push_back({path, TimeOf(entry)});
  return absl::OkStatus();
}

absl::Status LayerWriter::MakeHardLink(int parent, const std::string& leaf, const std::string& path,
                                       const TarEntry& entry) {
  ASSIGN_OR_RETURN(const std::string target, CleanEntryPath(entry.link));
  if (target.empty())
    return absl::InvalidArgumentError(
        Cat("the layer's hard link ", path.substr(0, 200), " has no target"));
  if (target == path) return absl::OkStatus();
  const size_t slash = target.rfind('/');
  const std::string target_leaf = target.substr(slash == std::string::npos ? 0 : slash + 1);
  ASSIGN_OR_RETURN(const UniqueFd target_parent,
                   OpenFolder(slash == std::string::npos ? "" : target.substr(0, slash)));
  // Without AT_SYMLINK_FOLLOW, a link to a symbolic link links that itself.
  if (linkat(target_parent.get(), target_leaf.c_str(), parent, leaf.c_str(), 0) == 0)
    return absl::OkStatus();
  if (errno == EEXIST) {
    RETURN_IF_ERROR(Clear(parent, leaf).status());
    if (linkat(target_parent.get(), target_leaf.c_str(), parent, leaf.c_str(), 0) == 0)
      return absl::OkStatus();
  }
  if (errno == ENOENT || errno == EPERM) {
    return absl::InvalidArgumentError(
        Cat("the layer's hard link ", path.substr(0, 200), " points to ", target.substr(0, 200),
            errno == EPERM ? ", a folder" : ", which is not in the layer"));
  }
  return Failure("hard link", path);
}

absl::Status LayerWriter::MakeSpecial(int parent, const std::string& leaf, const TarEntry& entry) {
  const auto make = [&] {
    switch (entry.type) {
      case TarEntry::Type::kSymlink:
        return symlinkat(entry.link.c_str(), parent, leaf.c_str());
      case TarEntry::Type::kFifo:
        return mknodat(parent, leaf.c_str(), S_IFIFO | 0600, 0);
      default:
        return mknodat(parent, leaf.c_str(),
                       (entry.type == TarEntry::Type::kCharDevice ? S_IFCHR : S_IFBLK) | 0600,
                       makedev(entry.device_major, entry.device_minor));
    }
  };
  if (entry.type == TarEntry::Type::kSymlink && (entry.link.empty() || entry.link.size() > 4095)) {
    return absl::InvalidArgumentError(
        Cat("the layer's symbolic link ", entry.path.substr(0, 200), " has no valid target"));
  }
  if (make() != 0) {
    if (errno != EEXIST) return Failure("create", entry.path);
    RETURN_IF_ERROR(Clear(parent, leaf).status());
    if (make() != 0) return Failure("create", entry.path);
  }
  if (fchownat(parent, leaf.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return Failure("chown", entry.path);
  // Nobody else writes here, so the node is the one just made and no link.
  if (entry.type != TarEntry::Type::kSymlink && fchmodat(parent, leaf.c_str(), entry.mode, 0) != 0)
    return Failure("chmod", entry.path);
  return SetTime(parent, leaf.c_str(), TimeOf(entry), entry.path);
}

absl::Status LayerWriter::SetXattrs(int fd, const TarEntry& entry) const {
  for (const auto& [name, value] : entry.xattrs) {
    if (!IsAllowedXattr(name)) continue;
    if (fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) == 0) continue;
    // As other runtimes do: a file system or kernel without this attribute is no reason to fail.
    if (errno == ENOTSUP || errno == EPERM) continue;
    return Failure(Cat("set ", std::string_view(name).substr(0, 60), " of"), entry.path);
  }
  return absl::OkStatus();
}

absl::Status LayerWriter::Finish() {
  // The deepest last entry wins where one folder came twice.
  for (const FolderTime& folder : folder_times_) {
    if (folder.path.empty()) {
      const timespec times[2] = {folder.time, folder.time};
      if (futimens(root_.get(), times) != 0) return Failure("set the time of", "the root");
      continue;
    }
    std::string_view leaf;
    ASSIGN_OR_RETURN(const int parent, ParentOf(folder.path, &leaf));
    const absl::Status status =
        SetTime(parent, std::string(leaf).c_str(), folder.time, folder.path);
    if (!status.ok() && status.code() != absl::StatusCode::kNotFound)
      return status;  // replaced since
  }
  return absl::OkStatus();
}

}  // namespace crisp
