#include "launch/oci_mount_space.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"
#include "kernel/mount.h"
#include "kernel/user_namespace.h"
#include "launch/container_mounts.h"
#include "launch/json_list.h"
#include "launch/rootfs.h"
#include "launch/user_mapping.h"

namespace crisp {
namespace {

absl::Status MountTmpfs(const std::string& folder, const char* options) {
  if (::mount("none", folder.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus("covering ", folder);
}

// The changed configuration lies over the bundle's own in this mount namespace alone.
absl::Status ShowConfig(const std::string& bundle, const std::string& text) {
  const std::string shown = JoinPath(bundle, "oci/config.json");
  RETURN_IF_ERROR(ReplaceFile(shown, text, 0600));
  const std::string own = JoinPath(bundle, "config.json");
  if (::mount(shown.c_str(), own.c_str(), nullptr, MS_BIND, nullptr) == 0) return absl::OkStatus();
  return ErrnoStatus("covering ", own);
}

absl::Status LendSources(ContainerMounts& mounts, const std::string& bundle, const Json& config) {
  const std::string sources = JoinPath(bundle, "sources");
  RETURN_IF_ERROR(MakeFolders(sources, 0711));
  RETURN_IF_ERROR(MountTmpfs(sources, "mode=711,nr_inodes=8k,size=1m"));
  Json shown = config;
  RETURN_IF_ERROR(mounts.Lend(sources, &shown));
  return ShowConfig(bundle, JsonText(shown));
}

// An empty folder of this namespace's own lies there afterwards, also where version 2 was not
// mounted: crun makes folders in it, which would be left on the host.
absl::Status HideUnified(const CgroupTree& tree) {
  if (tree.version() == CgroupVersion::kV2) return absl::OkStatus();
  const std::string folder = tree.Unified() != nullptr
                                 ? tree.Unified()->folder
                                 : JoinPath(FolderOf(tree.hierarchies().front().folder), "unified");
  if (!PathExists(folder)) return absl::OkStatus();
  if (tree.Unified() != nullptr) RETURN_IF_ERROR(Unmount(folder));
  return MountTmpfs(folder, "mode=755,nr_inodes=1k,size=1m");
}

absl::Status OwnMountNamespace() {
  if (::unshare(CLONE_NEWNS) == 0) return absl::OkStatus();
  return ErrnoStatus("making a mount namespace for the OCI runtime");
}

}  // namespace

bool HidesUnified(const CgroupTree& tree) {
  return tree.Unified() != nullptr && tree.version() != CgroupVersion::kV2;
}

absl::Status EnterMountSpaceOfContainer(const Json& config, const std::string& user_namespace,
                                        const std::string& bundle, const RootfsPlan& rootfs,
                                        const CgroupTree& tree) {
  RETURN_IF_ERROR(OwnMountNamespace());
  ASSIGN_OR_RETURN(ContainerMounts mounts, ContainerMounts::Plan(config, bundle, tree, ""));
  UniqueFd user;
  if (!user_namespace.empty()) {
    ASSIGN_OR_RETURN(user, OpenFile(user_namespace, O_RDONLY));
    ASSIGN_OR_RETURN(IdMaps maps, ParseIdMaps(ObjectOf(config, "linux")));
    mounts.UseUserNamespace(user.get(), std::move(maps));
  }
  RETURN_IF_ERROR(mounts.TakeSharedSources());
  RETURN_IF_ERROR(CutOffMounts());
  RETURN_IF_ERROR(mounts.TakeSources());
  RETURN_IF_ERROR(LendSources(mounts, bundle, config));
  if (user.valid()) RETURN_IF_ERROR(CoverWithMapped(rootfs.lower, user.get()));
  RETURN_IF_ERROR(HideUnified(tree));
  if (!rootfs.present) return absl::OkStatus();
  RETURN_IF_ERROR(AttachOverlay(rootfs, JoinPath(bundle, "rootfs"), config).status());
  // Mounting by the old interface leaves the working directory elsewhere.
  if (::chdir(bundle.c_str()) != 0) return ErrnoStatus("entering the bundle ", bundle);
  return absl::OkStatus();
}

absl::Status EnterMountSpaceOfExec(const CgroupTree& tree, const Cgroup& container,
                                   const Cgroup* exec) {
  RETURN_IF_ERROR(OwnMountNamespace());
  RETURN_IF_ERROR(CutOffMounts());
  RETURN_IF_ERROR(HideUnified(tree));
  // Where version 2 is the tracker, the exec is born in its sub-cgroup or moved there by the
  // runtime.
  if (exec == nullptr || tree.Tracker().v2) return absl::OkStatus();
  const std::string whole = tree.Tracker().folder + container.path();
  const std::string own = tree.Tracker().folder + exec->path();
  if (::mount(own.c_str(), whole.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return ErrnoStatus("showing the exec's cgroup ", own, " to the OCI runtime");
  }
  return absl::OkStatus();
}

}  // namespace crisp
