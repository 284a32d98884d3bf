#include "launch/rootfs.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"
#include "kernel/mount.h"
#include "kernel/user_namespace.h"
#include "launch/hooks.h"

namespace crisp {
namespace {

constexpr size_t kMaxOptionPage = 4095;  // mount(2) copies one page of options

// Linux 6.7 takes layers one by one, of any number. FailedPrecondition: this kernel does not.
absl::StatusOr<UniqueFd> NewOverlay(const RootfsPlan& plan, const Json& config) {
  ASSIGN_OR_RETURN(NewFilesystem overlay, NewFilesystem::Open("overlay"));
  for (const std::string& layer : plan.lower) {
    const absl::Status added = overlay.Set("lowerdir+", layer);
    if (absl::IsInvalidArgument(added) && &layer == &plan.lower.front()) {
      return absl::FailedPreconditionError("lowerdir+");
    }
    RETURN_IF_ERROR(added);
  }
  if (!plan.upper.empty()) {
    RETURN_IF_ERROR(overlay.Set("upperdir", plan.upper));
    RETURN_IF_ERROR(overlay.Set("workdir", plan.work));
  }
  for (const std::string& option : plan.options) RETURN_IF_ERROR(overlay.SetOption(option));
  RETURN_IF_ERROR(SetMountLabel(overlay, config));
  return overlay.Mount(0);
}

// The folder that all paths share, with its slash: "/var/lib/crisp/".
std::string CommonFolder(const std::vector<std::string>& paths) {
  std::string common = paths.front().substr(0, paths.front().rfind('/') + 1);
  for (const std::string& path : paths) {
    while (path.compare(0, common.size(), common) != 0) {
      common = common.substr(0, common.rfind('/', common.size() - 2) + 1);
    }
  }
  return common;
}

std::string MountLabel(const Json& config) {
  const Json* linux_part = JsonMember(config, "linux");
  return linux_part == nullptr ? "" : JsonString(*linux_part, "mountLabel");
}

}  // namespace

absl::StatusOr<UniqueFd> AttachOverlay(const RootfsPlan& plan, const std::string& target,
                                       const Json& config) {
  if (plan.lower.empty()) return absl::InvalidArgumentError("overlay: there is no layer");
  absl::StatusOr<UniqueFd> mount = NewOverlay(plan, config);
  if (mount.ok()) {
    ASSIGN_OR_RETURN(const UniqueFd folder, OpenFile(target, O_PATH | O_DIRECTORY));
    RETURN_IF_ERROR(AttachMount(mount->get(), folder.get(), target));
    return mount;
  }
  if (!absl::IsFailedPrecondition(mount.status())) return mount;
  RETURN_IF_ERROR(MountOverlayByText(plan, target, MountLabel(config)));
  return OpenFile(target, O_PATH | O_DIRECTORY);
}

absl::Status SetMountLabel(NewFilesystem& fs, const Json& config) {
  const std::string label = MountLabel(config);
  return label.empty() ? absl::OkStatus() : fs.Set("context", label);
}

absl::Status MountOverlayByText(const RootfsPlan& plan, const std::string& target,
                                const std::string& mount_label) {
  std::vector<std::string> paths = plan.lower;
  if (!plan.upper.empty()) paths.insert(paths.end(), {plan.upper, plan.work});
  const std::string common = CommonFolder(paths);
  for (std::string& path : paths) {
    path = path.substr(common.size());
    if (path.empty()) path = ".";
    if (path.find_first_of(":,\\") != std::string::npos) {
      return absl::InvalidArgumentError(
          Cat("overlay: layer folder \"", common, path, "\" holds one of : , \\"));
    }
  }
  std::string data = "lowerdir=";
  for (size_t i = 0; i < plan.lower.size(); ++i) data += Cat(i == 0 ? "" : ":", paths[i]);
  if (!plan.upper.empty()) {
    data += Cat(",upperdir=", paths[paths.size() - 2], ",workdir=", paths.back());
  }
  for (const std::string& option : plan.options) data += Cat(",", option);
  // In quotes, for the categories are parted by commas.
  if (!mount_label.empty()) data += Cat(",context=\"", mount_label, "\"");
  if (data.size() > kMaxOptionPage) {
    return absl::InvalidArgumentError(
        Cat("overlay: the paths of ", plan.lower.size(),
            " layers do not fit in the page that this kernel takes; Linux 6.7 has no such limit"));
  }
  if (::chdir(common.c_str()) != 0) return ErrnoStatus("entering ", common);
  if (::mount("overlay", target.c_str(), "overlay", 0, data.c_str()) != 0) {
    return ErrnoStatus("mounting the overlay of ", plan.lower.size(), " layers");
  }
  return absl::OkStatus();
}

absl::Status CutOffMounts() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0) return absl::OkStatus();
  return ErrnoStatus("making the mounts of the container's namespace slaves of the host's");
}

namespace {

absl::StatusOr<std::string> RootPath(const std::string& bundle, const Json& config) {
  const Json* root = JsonMember(config, "root");
  std::string path = root == nullptr ? "" : JsonString(*root, "path");
  if (path.empty()) return absl::InvalidArgumentError("config.json: root.path is missing");
  if (path[0] != '/') path = JoinPath(bundle, path);
  return path;
}

// pivot_root wants a mount, and the folder is none (or one that the host shares).
absl::StatusOr<UniqueFd> TakeRootFolder(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd mount, CloneMount(AT_FDCWD, path, TreeDepth::kRecursive));
  RETURN_IF_ERROR(
      ChangeMount(mount.get(), {.propagation = MS_PRIVATE}, TreeDepth::kOne, "the root"));
  return mount;
}

}  // namespace

absl::StatusOr<std::string> RootTarget(const RootfsPlan& plan, const std::string& bundle,
                                       const Json& config) {
  if (plan.present && !HasHooks(config, "createContainer")) return bundle;
  return RootPath(bundle, config);
}

absl::StatusOr<UniqueFd> AttachRoot(const RootfsPlan& plan, const std::string& bundle,
                                    const Json& config) {
  ASSIGN_OR_RETURN(const std::string path, RootTarget(plan, bundle, config));
  if (plan.present) return AttachOverlay(plan, path, config);
  ASSIGN_OR_RETURN(UniqueFd mount, TakeRootFolder(path));
  ASSIGN_OR_RETURN(const UniqueFd folder, OpenFile(path, O_PATH | O_DIRECTORY));
  RETURN_IF_ERROR(AttachMount(mount.get(), folder.get(), path));
  return mount;
}

absl::StatusOr<UniqueFd> TakeMappedRoot(const RootfsPlan& plan, const std::string& bundle,
                                        const Json& config, int user_namespace_fd) {
  if (!plan.present) {
    ASSIGN_OR_RETURN(const std::string path, RootPath(bundle, config));
    return TakeRootFolder(path);
  }
  RETURN_IF_ERROR(CoverWithMapped(plan.lower, user_namespace_fd));
  absl::StatusOr<UniqueFd> overlay = NewOverlay(plan, config);
  if (!absl::IsFailedPrecondition(overlay.status())) return overlay;
  // Before Linux 6.7: what is attached is taken off again by a detached copy.
  RETURN_IF_ERROR(MountOverlayByText(plan, bundle, MountLabel(config)));
  return CloneMount(AT_FDCWD, bundle, TreeDepth::kOne);
}

absl::Status EnterRoot(int root_fd, const Json& config) {
  if (::fchdir(root_fd) != 0) return ErrnoStatus("entering the root");
  // The old root comes to lie on top of the new one at "/", and is taken off again: no folder for
  // it is needed inside.
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return ErrnoStatus("pivot_root");
  if (::umount2(".", MNT_DETACH) != 0) return ErrnoStatus("dropping the host's root");
  if (::chdir("/") != 0) return ErrnoStatus("entering the new root");

  MountChange change;
  if (const Json* linux_part = JsonMember(config, "linux")) {
    const std::string propagation = JsonString(*linux_part, "rootfsPropagation");
    if (propagation == "shared" || propagation == "rshared") change.propagation = MS_SHARED;
    if (propagation == "unbindable" || propagation == "runbindable") {
      change.propagation = MS_UNBINDABLE;
    }
    // Private and slave it is already: it is new, and what lies on it has its own setting.
  }
  const Json* root = JsonMember(config, "root");
  if (root != nullptr && JsonBool(*root, "readonly")) change.set = MOUNT_ATTR_RDONLY;
  return ChangeMount(root_fd, change, TreeDepth::kOne, "/");
}

}  // namespace crisp
