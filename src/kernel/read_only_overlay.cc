#include "kernel/read_only_overlay.h"

#include <sched.h>
#include <sys/mount.h>

#include <system_error>
#include <thread>

#include "base/status.h"
#include "kernel/mount.h"
#include "kernel/user_namespace.h"

namespace crisp {
namespace {

absl::StatusOr<UniqueFd> Make(const std::vector<std::string>& layers,
                              const std::string& mount_label) {
  ASSIGN_OR_RETURN(NewFilesystem overlay, NewFilesystem::Open("overlay"));
  for (const std::string& layer : layers) {
    const absl::Status added = overlay.Set("lowerdir+", layer);
    if (absl::IsInvalidArgument(added) && &layer == &layers.front()) {
      return absl::FailedPreconditionError(
          "an image cannot be mounted as a volume: that needs Linux 6.7 or later");
    }
    RETURN_IF_ERROR(added);
  }
  if (!mount_label.empty()) RETURN_IF_ERROR(overlay.Set("context", mount_label));
  return overlay.Mount(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                       MOUNT_ATTR_NOEXEC);
}

// On a thread that ends here: its mount namespace, and the mapped layers in it, go with it; the
// overlay holds what it needs of them.
absl::StatusOr<UniqueFd> MakeMapped(const std::vector<std::string>& layers, int user_namespace_fd,
                                    const std::string& mount_label) {
  if (::unshare(CLONE_NEWNS) != 0) return ErrnoStatus("making a mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return ErrnoStatus("making mounts private");
  }
  RETURN_IF_ERROR(CoverWithMapped(layers, user_namespace_fd));
  return Make(layers, mount_label);
}

}  // namespace

absl::StatusOr<UniqueFd> ReadOnlyOverlay(const std::vector<std::string>& layers,
                                         int user_namespace_fd, const std::string& mount_label) {
  if (user_namespace_fd < 0) return Make(layers, mount_label);
  absl::StatusOr<UniqueFd> made = absl::InternalError("not made");
  try {
    std::thread([&] { made = MakeMapped(layers, user_namespace_fd, mount_label); }).join();
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(Cat("starting a thread: ", error.what()));
  }
  return made;
}

}  // namespace crisp
