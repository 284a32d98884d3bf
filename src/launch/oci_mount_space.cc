#include "launch/oci_mount_space.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>

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

struct SharedSource {
  std::string path;
  UniqueFd tree;
};

bool IsShared(const Json& mount) {
  for (const std::string& option : StringList(mount, "options")) {
    if (option == "shared" || option == "rshared") return true;
  }
  return false;
}

// Copies of the sources that give back to the host, in its peer groups still; none lies below
// another.
absl::StatusOr<std::vector<SharedSource>> TakeSharedSources(const Json& config) {
  std::vector<std::string> paths;
  for (const Json& mount : ArrayOf(config, "mounts")) {
    if (IsShared(mount)) paths.push_back(CleanPath(JsonString(mount, "source")));
  }
  std::sort(paths.begin(), paths.end());
  std::vector<SharedSource> sources;
  for (const std::string& path : paths) {
    const bool covered =
        std::any_of(sources.begin(), sources.end(), [&](const SharedSource& source) {
          return path == source.path || path.starts_with(source.path + "/") || source.path == "/";
        });
    if (covered) continue;
    ASSIGN_OR_RETURN(UniqueFd tree, CloneMount(AT_FDCWD, path, TreeDepth::kRecursive));
    sources.push_back({path, std::move(tree)});
  }
  return sources;
}

// The host's mounts are cut off in between.
absl::Status KeepSharedSources(const Json& config) {
  ASSIGN_OR_RETURN(const std::vector<SharedSource> sources, TakeSharedSources(config));
  RETURN_IF_ERROR(CutOffMounts());
  for (const SharedSource& source : sources) {
    ASSIGN_OR_RETURN(const UniqueFd target, OpenFile(source.path, O_PATH));
    RETURN_IF_ERROR(AttachMount(source.tree.get(), target.get(), source.path));
  }
  return absl::OkStatus();
}

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

absl::Status PrepareUserNamespace(const Json& config, const std::string& user_namespace,
                                  const std::string& bundle, const RootfsPlan& rootfs,
                                  const CgroupTree& tree) {
  ASSIGN_OR_RETURN(const UniqueFd user, OpenFile(user_namespace, O_RDONLY));
  ASSIGN_OR_RETURN(IdMaps maps, ParseIdMaps(ObjectOf(config, "linux")));
  ASSIGN_OR_RETURN(ContainerMounts mounts, ContainerMounts::Plan(config, bundle, tree, ""));
  mounts.UseUserNamespace(user.get(), std::move(maps));
  RETURN_IF_ERROR(mounts.TakeSharedSources());
  RETURN_IF_ERROR(CutOffMounts());
  RETURN_IF_ERROR(mounts.TakeSources());
  if (rootfs.present) RETURN_IF_ERROR(CoverWithMapped(rootfs.lower, user.get()));
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
  RETURN_IF_ERROR(user_namespace.empty()
                      ? KeepSharedSources(config)
                      : PrepareUserNamespace(config, user_namespace, bundle, rootfs, tree));
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
