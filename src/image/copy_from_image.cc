// CopyFromImage: an image folder's content into a volume, as `VOLUME` promises. The image is seen
// through MergedView, so links in it lead nowhere else; the target is the caller's and new.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>

#include "base/file.h"
#include "base/status.h"
#include "image/image_store.h"
#include "image/merged_view.h"

namespace crisp {
namespace {

constexpr int kMaxDepth = 256;

class VolumeCopy {
 public:
  explicit VolumeCopy(std::string path) : path_(std::move(path)) {}

  absl::Status CopyFolder(const MergedView::Node& source, int target, int depth) {
    if (depth > kMaxDepth)
      return absl::ResourceExhaustedError(
          Cat("folder ", path_, " of the image nests deeper than ", kMaxDepth));
    ASSIGN_OR_RETURN(const std::vector<std::string> names, MergedView::Names(source));
    for (const std::string& name : names) {
      ASSIGN_OR_RETURN(const MergedView::Node node, MergedView::Child(source, name));
      RETURN_IF_ERROR(CopyNode(node, target, name, depth));
    }
    return Describe(source.folders[0]->get(), target, source.info);
  }

 private:
  absl::Status CopyNode(const MergedView::Node& node, int target, const std::string& name,
                        int depth) {
    if (node.is_folder()) {
      if (mkdirat(target, name.c_str(), 0700) != 0) return Failure("make folder", name);
      UniqueFd folder(
          openat(target, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!folder.valid()) return Failure("open folder", name);
      return CopyFolder(node, folder.get(), depth + 1);
    }
    if (S_ISREG(node.info.st_mode)) return CopyFile(node, target, name);
    if (S_ISLNK(node.info.st_mode)) {
      char link[4097];
      const ssize_t size = readlinkat(node.parent->get(), node.name.c_str(), link, sizeof link - 1);
      if (size < 0) return Failure("read link", name);
      link[size] = 0;
      if (symlinkat(link, target, name.c_str()) != 0) return Failure("make link", name);
    } else if (mknodat(target, name.c_str(), node.info.st_mode, node.info.st_rdev) != 0) {
      return Failure("make node", name);
    }
    if (fchownat(target, name.c_str(), node.info.st_uid, node.info.st_gid, AT_SYMLINK_NOFOLLOW) !=
        0)
      return Failure("chown", name);
    if (!S_ISLNK(node.info.st_mode) &&
        fchmodat(target, name.c_str(), node.info.st_mode & 07777, 0) != 0)
      return Failure("chmod", name);
    const timespec times[2] = {node.info.st_mtim, node.info.st_mtim};
    utimensat(target, name.c_str(), times, AT_SYMLINK_NOFOLLOW);
    return absl::OkStatus();
  }

  absl::Status CopyFile(const MergedView::Node& node, int target, const std::string& name) {
    ASSIGN_OR_RETURN(const UniqueFd from, MergedView::OpenFileOf(node));
    UniqueFd to(
        openat(target, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!to.valid()) return Failure("create", name);
    std::string buffer;
    while (true) {
      const ssize_t count =
          buffer.empty() ? copy_file_range(from.get(), nullptr, to.get(), nullptr, 1 << 30, 0)
                         : read(from.get(), buffer.data(), buffer.size());
      if (count == 0) break;
      if (count > 0) {
        if (!buffer.empty())
          RETURN_IF_ERROR(WriteAll(to.get(), std::string_view(buffer).substr(0, count), name));
        continue;
      }
      if (errno == EINTR) continue;
      if (!buffer.empty() ||
          (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS))
        return Failure("copy", name);
      buffer.resize(256 << 10);  // across file systems that cannot copy by themselves
    }
    return Describe(from.get(), to.get(), node.info);
  }

  // Owner, attributes, mode and times, in the order in which none undoes another.
  absl::Status Describe(int from, int to, const struct stat& info) {
    if (fchown(to, info.st_uid, info.st_gid) != 0) return Failure("chown in", path_);
    if (fchmod(to, info.st_mode & 07777) != 0) return Failure("chmod in", path_);
    char names[8192], value[65536];
    const ssize_t size = flistxattr(from, names, sizeof names);
    for (ssize_t i = 0; i < size; i += static_cast<ssize_t>(strlen(names + i)) + 1) {
      const std::string_view name = names + i;
      if (!name.starts_with("user.") && name != "security.capability" &&
          !name.starts_with("system.posix_acl_"))
        continue;
      const ssize_t length = fgetxattr(from, names + i, value, sizeof value);
      if (length >= 0 && fsetxattr(to, names + i, value, length, 0) != 0 && errno != ENOTSUP &&
          errno != EPERM)
        return Failure("set attributes in", path_);
    }
    const timespec times[2] = {info.st_mtim, info.st_mtim};
    futimens(to, times);
    return absl::OkStatus();
  }

  absl::Status Failure(std::string_view what, std::string_view name) const {
    return ErrnoStatus(what, " ", name, " (volume copy of ", path_, ")");
  }

  const std::string path_;
};

}  // namespace

absl::Status CopyFromImage(const ImageRecord& image, std::string_view path,
                           const std::string& target) {
  ASSIGN_OR_RETURN(const MergedView view, MergedView::Open(image.layer_folders));
  const auto source = view.Find(path);
  if (absl::IsNotFound(source.status())) return absl::OkStatus();
  RETURN_IF_ERROR(source.status());
  if (!source->is_folder()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd folder, OpenFile(target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return VolumeCopy(std::string(path)).CopyFolder(*source, folder.get(), 0);
}

}  // namespace crisp
