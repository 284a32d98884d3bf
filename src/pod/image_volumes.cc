#include "pod/image_volumes.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "base/file.h"
#include "base/status.h"
#include "kernel/mount.h"
#include "kernel/read_only_overlay.h"
#include "kernel/rooted_path.h"
#include "oci/validate.h"
#include "pod/pod_files.h"

namespace crisp {
namespace {

absl::Status Failed(const v1::Mount& mount, std::string_view why) {
  return absl::UnknownError(Cat("ImageVolumeMountFailed: mounts: ", mount.container_path(),
                                ": image ", mount.image().image(), " ", why));
}

bool IsMounted(const std::string& folder) {
  // The folder below is empty; a mount has another device.
  const absl::StatusOr<UniqueFd> own = OpenFile(folder, O_PATH | O_DIRECTORY);
  const absl::StatusOr<UniqueFd> parent = OpenFile(FolderOf(folder), O_PATH | O_DIRECTORY);
  struct stat one = {}, other = {};
  return own.ok() && parent.ok() && ::fstat(own->get(), &one) == 0 &&
         ::fstat(parent->get(), &other) == 0 && one.st_dev != other.st_dev;
}

absl::Status MountImage(PodState& state, const record::Pod& pod, const ImageRecord& image,
                        const std::string& folder) {
  RETURN_IF_ERROR(state.images.Lease(image.id, pod.id()));
  RETURN_IF_ERROR(MakeFolders(folder, 0711));
  std::vector<std::string> layers = image.layer_folders;
  // An overlay without an upper folder wants two.
  layers.push_back(state.paths.EmptyLayer());
  UniqueFd user_namespace;
  if (!UserNamespaceOf(pod.config()).empty()) {
    ASSIGN_OR_RETURN(user_namespace, OpenFile(state.paths.User(pod.id()), O_RDONLY));
  }
  ASSIGN_OR_RETURN(const UniqueFd mount,
                   ReadOnlyOverlay(layers, user_namespace.get(), MountLabelOf(pod)));
  ASSIGN_OR_RETURN(const UniqueFd target, OpenFile(folder, O_PATH | O_DIRECTORY));
  return AttachMount(mount.get(), target.get(), folder);
}

// Where the sub-path leads, links in the image followed inside it.
absl::StatusOr<std::string> Resolve(const std::string& folder, const v1::Mount& mount) {
  ASSIGN_OR_RETURN(const UniqueFd root, OpenFile(folder, O_PATH | O_DIRECTORY));
  const absl::StatusOr<UniqueFd> found = OpenInRoot(root.get(), mount.image_sub_path());
  if (!found.ok()) {
    return Failed(mount, Cat("has no image_sub_path \"", mount.image_sub_path(),
                             "\": ", FromAbsl(found.status().message())));
  }
  char path[PATH_MAX] = {};
  const ssize_t size =
      ::readlink(Cat("/proc/self/fd/", found->get()).c_str(), path, sizeof path - 1);
  if (size <= 0 || path[0] != '/') return ErrnoStatus("readlink of an image volume");
  return std::string(path);
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> MountImageVolumes(
    PodState& state, const record::Pod& pod, const v1::ContainerConfig& container) {
  std::map<std::string, std::string> sources;
  for (const v1::Mount& mount : container.mounts()) {
    if (mount.image().image().empty()) continue;
    const absl::StatusOr<std::shared_ptr<const ImageRecord>> image =
        state.images.Find(mount.image().image());
    if (!image.ok()) {
      return Failed(mount, Cat("is not present: ", FromAbsl(image.status().message())));
    }
    const std::string folder = state.paths.ImageVolume(pod.id(), (*image)->id);
    if (!IsMounted(folder)) {
      const absl::Status mounted = MountImage(state, pod, **image, folder);
      if (!mounted.ok()) {
        return Failed(mount, Cat("cannot be mounted: ", FromAbsl(mounted.message())));
      }
    }
    std::string source = folder;
    if (!mount.image_sub_path().empty()) {
      ASSIGN_OR_RETURN(source, Resolve(folder, mount));
    }
    sources[mount.container_path()] = std::move(source);
  }
  return sources;
}

absl::Status UnmountImageVolumes(const PodState& state, const std::string& pod_id) {
  const std::string folder = state.paths.ImageVolumes(pod_id);
  std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
  if (open == nullptr) return absl::OkStatus();
  absl::Status first;
  while (const dirent* entry = ::readdir(open.get())) {
    if (entry->d_name[0] == '.') continue;
    Keep(first, Unmount(JoinPath(folder, entry->d_name), /*lazy=*/true));
  }
  return first;
}

}  // namespace crisp
