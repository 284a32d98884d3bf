#include "checkpoint/archive_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/id.h"
#include "base/status.h"
#include "checkpoint/folder_names.h"
#include "image/tar_writer.h"

namespace crisp {
namespace {

absl::Status AddAll(TarWriter& tar, const std::string& folder, const std::string& prefix) {
  ASSIGN_OR_RETURN(const UniqueFd here, OpenFile(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, SortedNames(here.get()));
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(TarEntry entry, DescribeFile(here.get(), name));
    entry.path = prefix + name;
    if (entry.type == TarEntry::Type::kFolder) {
      RETURN_IF_ERROR(tar.Add(entry));
      if (prefix.empty()) RETURN_IF_ERROR(AddAll(tar, JoinPath(folder, name), Cat(name, "/")));
      continue;
    }
    if (entry.type != TarEntry::Type::kFile) continue;
    entry.mode = 0600;
    ASSIGN_OR_RETURN(const UniqueFd file, OpenFile(JoinPath(folder, name), O_RDONLY | O_NOFOLLOW));
    RETURN_IF_ERROR(tar.AddFrom(entry, file.get()));
  }
  return absl::OkStatus();
}

absl::Status FillAndSync(int fd, const std::string& folder, const std::string& path,
                         const Call& call) {
  TarWriter tar(fd, path, call);
  RETURN_IF_ERROR(AddAll(tar, folder, ""));
  RETURN_IF_ERROR(tar.Finish());
  return fsync(fd) == 0 ? absl::OkStatus() : ErrnoStatus("sync ", path);
}

absl::Status Replace(const std::string& from, const std::string& path) {
  if (rename(from.c_str(), path.c_str()) != 0) return ErrnoStatus("rename to ", path);
  ASSIGN_OR_RETURN(const UniqueFd parent, OpenFile(FolderOf(path), O_RDONLY | O_DIRECTORY));
  return fsync(parent.get()) == 0 ? absl::OkStatus() : ErrnoStatus("sync ", FolderOf(path));
}

}  // namespace

absl::Status CheckArchivePath(const std::string& path) {
  if (!path.starts_with('/') || path.ends_with('/') || path.find('\0') != path.npos) {
    return absl::InvalidArgumentError(
        Cat("location \"", path.substr(0, 300), "\" is no absolute path of a file"));
  }
  struct stat info = {};
  const std::string parent = FolderOf(path);
  if (stat(parent.c_str(), &info) != 0)
    return ErrnoStatus("location ", path, ": its folder ", parent);
  if (!S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(Cat("location ", path, ": ", parent, " is no folder"));
  }
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus("location ", path);
  }
  if (S_ISREG(info.st_mode)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      Cat("location ", path, " exists and is no regular file; it is not replaced"));
}

absl::Status WriteArchive(const std::string& folder, const std::string& path, const Call& call) {
  RETURN_IF_ERROR(CheckArchivePath(path));
  const std::string parent = FolderOf(path);
  const std::string temporary =
      JoinPath(parent, Cat(".", BaseName(path).substr(0, 200), ".", RandomId().substr(0, 16)));
  // Nameless until it is whole, where the file system can do that.
  UniqueFd file(open(parent.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  absl::Cleanup remove = [&] { unlink(temporary.c_str()); };
  if (file.valid()) {
    RETURN_IF_ERROR(FillAndSync(file.get(), folder, path, call));
    if (linkat(AT_FDCWD, Cat("/proc/self/fd/", file.get()).c_str(), AT_FDCWD, temporary.c_str(),
               AT_SYMLINK_FOLLOW) != 0) {
      return ErrnoStatus("link ", temporary);
    }
  } else {
    ASSIGN_OR_RETURN(file, OpenFile(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    RETURN_IF_ERROR(FillAndSync(file.get(), folder, path, call));
  }
  RETURN_IF_ERROR(Replace(temporary, path));
  std::move(remove).Cancel();
  return absl::OkStatus();
}

}  // namespace crisp
