#include "launch/hidden_paths.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <string>
#include <utility>

#include "base/status.h"
#include "base/unique_fd.h"
#include "kernel/mount.h"
#include "kernel/rooted_path.h"
#include "launch/devices.h"
#include "launch/json_list.h"

namespace crisp {
namespace {

// Missing paths are common: which files /proc has depends on the kernel.
absl::StatusOr<UniqueFd> OpenIfThere(int root_fd, const std::string& path) {
  absl::StatusOr<UniqueFd> fd = OpenInRoot(root_fd, path);
  if (absl::IsNotFound(fd.status())) return UniqueFd();
  return fd;
}

absl::Status MakeReadOnly(int root_fd, const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd target, OpenIfThere(root_fd, path));
  if (!target.valid()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd copy, CloneMount(target.get(), "", TreeDepth::kRecursive));
  RETURN_IF_ERROR(ChangeMount(copy.get(), {.set = MOUNT_ATTR_RDONLY, .propagation = MS_PRIVATE},
                              TreeDepth::kRecursive, path));
  return AttachMount(copy.get(), target.get(), path);
}

class Masker {
 public:
  explicit Masker(int root_fd) : root_fd_(root_fd) {}

  absl::Status Mask(const std::string& path) {
    ASSIGN_OR_RETURN(const UniqueFd target, OpenIfThere(root_fd_, path));
    if (!target.valid()) return absl::OkStatus();
    struct stat about = {};
    if (::fstat(target.get(), &about) != 0) return ErrnoStatus("looking at ", path);
    ASSIGN_OR_RETURN(UniqueFd cover, S_ISDIR(about.st_mode) ? EmptyFolder() : Null());
    RETURN_IF_ERROR(AttachMount(cover.get(), target.get(), path));
    // Later folders get copies of the first one's mount, which must be attached to be copied.
    if (S_ISDIR(about.st_mode) && !folder_.valid()) folder_ = std::move(cover);
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<UniqueFd> EmptyFolder() {
    if (folder_.valid()) return CloneMount(folder_.get(), "", TreeDepth::kOne);
    ASSIGN_OR_RETURN(NewFilesystem fs, NewFilesystem::Open("tmpfs"));
    RETURN_IF_ERROR(fs.Set("nr_blocks", "1"));
    RETURN_IF_ERROR(fs.Set("nr_inodes", "1"));
    return fs.Mount(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  }

  absl::StatusOr<UniqueFd> Null() {
    if (!null_.valid()) {
      ASSIGN_OR_RETURN(null_, OpenContainerNull(root_fd_));
    }
    return CloneMount(null_.get(), "", TreeDepth::kOne);
  }

  const int root_fd_;
  UniqueFd folder_;
  UniqueFd null_;
};

}  // namespace

absl::Status HidePaths(int root_fd, const Json& config) {
  const Json& linux_part = ObjectOf(config, "linux");
  for (const std::string& path : StringList(linux_part, "readonlyPaths")) {
    const absl::Status done = MakeReadOnly(root_fd, path);
    if (!done.ok()) return Annotate(done, Cat("read-only path ", path));
  }
  Masker masker(root_fd);
  for (const std::string& path : StringList(linux_part, "maskedPaths")) {
    const absl::Status done = masker.Mask(path);
    if (!done.ok()) return Annotate(done, Cat("masked path ", path));
  }
  return absl::OkStatus();
}

}  // namespace crisp
