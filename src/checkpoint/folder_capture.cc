#include "checkpoint/folder_capture.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/status.h"
#include "checkpoint/folder_names.h"
#include "kernel/rooted_path.h"

namespace crisp {
namespace {

constexpr int kMaxDepth = 256;

bool HasXattr(int folder, const char* name) { return fgetxattr(folder, name, nullptr, 0) > 0; }

}  // namespace

absl::Status FolderCapture::Run(const std::string& folder) {
  ASSIGN_OR_RETURN(const UniqueFd root, OpenFile(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  ASSIGN_OR_RETURN(TarEntry entry, DescribeFile(root.get(), "."));
  entry.path = "./";
  RETURN_IF_ERROR(tar_.Add(std::move(entry)));
  RETURN_IF_ERROR(AddFolder(root.get(), "", 0));
  std::sort(deleted_.begin(), deleted_.end());
  return absl::OkStatus();
}

absl::Status FolderCapture::CheckOverlay(int folder, const std::string& path, bool* opaque) const {
  char value[2] = {};
  const ssize_t size = fgetxattr(folder, "trusted.overlay.opaque", value, sizeof value);
  *opaque = size == 1 && value[0] == 'y';
  if (!HasXattr(folder, "trusted.overlay.redirect")) return absl::OkStatus();
  return absl::FailedPreconditionError(
      Cat("the folder /", path,
          " was renamed in an overlay with redirect_dir, which an archive cannot express"));
}

// What the layers below have in an opaque folder and the folder itself has not.
absl::Status FolderCapture::NoteHidden(const std::string& path,
                                       const std::vector<std::string>& own) {
  std::set<std::string> hidden;
  for (const std::string& layer : lower_) {
    ASSIGN_OR_RETURN(const UniqueFd root, OpenFile(layer, O_PATH | O_DIRECTORY));
    const absl::StatusOr<UniqueFd> below =
        OpenInRootNoLinks(root.get(), path, O_RDONLY | O_DIRECTORY);
    if (!below.ok()) continue;
    ASSIGN_OR_RETURN(const std::vector<std::string> names, SortedNames(below->get()));
    for (const std::string& name : names) {
      if (!std::binary_search(own.begin(), own.end(), name)) hidden.insert(name);
    }
  }
  for (const std::string& name : hidden) deleted_.push_back(Cat("/", path, "/", name));
  return absl::OkStatus();
}

absl::Status FolderCapture::AddFolder(int folder, const std::string& path, int depth) {
  if (depth > kMaxDepth) {
    return absl::ResourceExhaustedError(
        Cat("the folder /", path.substr(0, 200), " nests deeper than ", kMaxDepth));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> names, SortedNames(folder));
  if (overlay_ && !path.empty()) {
    bool opaque = false;
    RETURN_IF_ERROR(CheckOverlay(folder, path, &opaque));
    if (opaque) RETURN_IF_ERROR(NoteHidden(path, names));
  }
  for (const std::string& name : names) {
    RETURN_IF_ERROR(AddChild(folder, name, path.empty() ? name : Cat(path, "/", name), depth));
  }
  return absl::OkStatus();
}

absl::Status FolderCapture::AddChild(int folder, const std::string& name, const std::string& path,
                                     int depth) {
  struct stat info = {};
  if (fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus("stat /", path);
  }
  if (S_ISSOCK(info.st_mode)) return absl::OkStatus();
  if (overlay_ && S_ISCHR(info.st_mode) && info.st_rdev == 0) {
    deleted_.push_back(Cat("/", path));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(TarEntry entry, DescribeFile(folder, name));
  entry.path = path;
  if (S_ISDIR(info.st_mode)) {
    RETURN_IF_ERROR(tar_.Add(std::move(entry)));
    const UniqueFd child(
        openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child.valid()) return ErrnoStatus("open /", path);
    return AddFolder(child.get(), path, depth + 1);
  }
  if (info.st_nlink > 1) {
    const auto [first, is_new] = linked_.emplace(std::pair(info.st_dev, info.st_ino), path);
    if (!is_new) {
      entry.type = TarEntry::Type::kHardLink;
      entry.link = first->second;
      entry.xattrs.clear();
      return tar_.Add(std::move(entry));
    }
  }
  if (S_ISLNK(info.st_mode)) {
    char target[PATH_MAX];
    const ssize_t size = readlinkat(folder, name.c_str(), target, sizeof target);
    if (size < 0) return ErrnoStatus("read link /", path);
    entry.link.assign(target, static_cast<size_t>(size));
  }
  if (!S_ISREG(info.st_mode)) return tar_.Add(std::move(entry));
  const UniqueFd file(openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus("open /", path);
  if (overlay_ && HasXattr(file.get(), "trusted.overlay.metacopy")) {
    return absl::FailedPreconditionError(
        Cat("the data of /", path, " is in a layer below (overlay with metacopy)"));
  }
  return tar_.AddFrom(entry, file.get());
}

absl::StatusOr<std::vector<std::string>> ArchiveFolder(const FolderArchive& what,
                                                       const std::string& file, const Call& call) {
  ASSIGN_OR_RETURN(const UniqueFd out, OpenFile(file, O_WRONLY | O_CREAT | O_EXCL, 0600));
  TarWriter tar(out.get(), file, call);
  FolderCapture capture(tar, what.overlay, what.lower);
  RETURN_IF_ERROR(capture.Run(what.folder));
  RETURN_IF_ERROR(tar.Finish());
  return capture.deleted();
}

}  // namespace crisp
