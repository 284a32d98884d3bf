#include "launch/container_mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"
#include "kernel/mount.h"
#include "kernel/rooted_path.h"
#include "launch/copy_up.h"
#include "launch/json_list.h"
#include "launch/rootfs.h"
#include "launch/user_mapping.h"

namespace crisp {
namespace {

constexpr size_t kMaxMounts = 4096;

bool IsFolder(int fd) {
  struct stat about = {};
  return ::fstat(fd, &about) == 0 && S_ISDIR(about.st_mode);
}

bool IsPseudo(std::string_view type) {
  for (const std::string_view one :
       {"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "ramfs", "overlay"}) {
    if (type == one) return true;
  }
  return false;
}

// A mount inside /proc could make the runtime, or a reader, take a file of the image for the
// kernel's (CVE-2019-16884 and its kin). Only those that lxcfs provides are let through.
absl::Status RefuseInsideProc(int target_fd, std::string_view type, std::string_view destination) {
  struct statfs about = {};
  if (::fstatfs(target_fd, &about) != 0) return ErrnoStatus("statfs ", destination);
  if (about.f_type != PROC_SUPER_MAGIC || type == "proc") return absl::OkStatus();
  struct stat inode = {};
  constexpr ino_t kProcRoot = 1;
  if (::fstat(target_fd, &inode) == 0 && inode.st_ino == kProcRoot) return absl::OkStatus();
  const std::string clean = CleanPath(destination);
  for (const std::string_view allowed :
       {"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps",
        "/proc/uptime", "/proc/loadavg", "/proc/slabinfo", "/proc/net/dev",
        "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled"}) {
    if (clean == allowed) return absl::OkStatus();
  }
  return absl::PermissionDeniedError(
      Cat("mount at ", destination, ": nothing may be mounted inside the container's /proc"));
}

absl::Status SetPropagation(int mount_fd, const MountOptions& options, std::string_view name) {
  return ChangeMount(mount_fd, {.propagation = options.propagation},
                     options.propagation_recursive ? TreeDepth::kRecursive : TreeDepth::kOne, name);
}

}  // namespace

absl::StatusOr<ContainerMounts> ContainerMounts::Plan(const Json& config, const std::string& bundle,
                                                      const CgroupTree& tree,
                                                      const std::string& cgroup) {
  ContainerMounts plan;
  plan.config_ = &config;
  plan.bundle_ = bundle;
  plan.cgroups_ = &tree;
  plan.cgroup_ = cgroup;
  const Json& mounts = ArrayOf(config, "mounts");
  if (mounts.size() > kMaxMounts) {
    return absl::InvalidArgumentError(
        Cat("config.json: ", mounts.size(), " mounts; ", kMaxMounts, " are allowed"));
  }
  plan.entries_.reserve(mounts.size());
  for (const Json& mount : mounts) {
    Entry entry{JsonString(mount, "destination"),
                JsonString(mount, "type"),
                JsonString(mount, "source"),
                {},
                {},
                {}};
    if (entry.destination.empty()) {
      return absl::InvalidArgumentError("config.json: a mount has no destination");
    }
    absl::StatusOr<IdMaps> maps = ParseIdMaps(mount);
    if (!maps.ok()) return Annotate(maps.status(), Cat("mount at ", entry.destination));
    entry.maps = *std::move(maps);
    absl::StatusOr<MountOptions> options = ParseMountOptions(StringList(mount, "options"));
    if (!options.ok()) {
      return Annotate(options.status(), Cat("mount at ", entry.destination));
    }
    entry.options = *std::move(options);
    if (entry.type == "bind") entry.options.bind = true;
    if (!entry.maps.empty() && !entry.options.bind) {
      return absl::InvalidArgumentError(
          Cat("mount at ", entry.destination, ": only bind mounts can have their ids mapped"));
    }
    if (CleanPath(Cat("/", entry.destination)) == "/dev") {
      plan.own_dev_ = !entry.options.bind;
      plan.binds_dev_ = entry.options.bind;
    }
    plan.entries_.push_back(std::move(entry));
  }
  return plan;
}

absl::Status ContainerMounts::TakeSource(Entry& entry) const {
  const std::string path =
      entry.source.rfind('/', 0) == 0 ? entry.source : JoinPath(bundle_, entry.source);
  absl::StatusOr<UniqueFd> tree = CloneMount(AT_FDCWD, path, entry.options.bind_depth);
  if (!tree.ok()) return Annotate(tree.status(), Cat("mount at ", entry.destination));
  entry.tree = *std::move(tree);
  // A peer of the host's mount would carry back what the container mounts; see CutOffMounts for
  // what is taken later.
  if (user_namespace_fd_ >= 0 && entry.options.propagation == 0) {
    RETURN_IF_ERROR(ChangeMount(entry.tree.get(), {.propagation = MS_SLAVE}, TreeDepth::kRecursive,
                                entry.destination));
  }
  return entry.maps.empty() ? absl::OkStatus() : MapIds(entry);
}

absl::Status ContainerMounts::MapIds(const Entry& entry) const {
  const TreeDepth depth = entry.options.map_recursively ? TreeDepth::kRecursive : TreeDepth::kOne;
  const std::string name = Cat("the mount at ", entry.destination);
  if (user_namespace_fd_ >= 0 && entry.maps == user_maps_) {
    return MapMount(entry.tree.get(), user_namespace_fd_, depth, name);
  }
  ASSIGN_OR_RETURN(const UniqueFd user_namespace, MakeUserNamespace(entry.maps));
  return MapMount(entry.tree.get(), user_namespace.get(), depth, name);
}

absl::Status ContainerMounts::TakeSharedSources() {
  for (Entry& entry : entries_) {
    if (entry.options.bind && !entry.options.remount && entry.options.propagation == MS_SHARED) {
      RETURN_IF_ERROR(TakeSource(entry));
    }
  }
  return absl::OkStatus();
}

absl::Status ContainerMounts::TakeSources() {
  for (Entry& entry : entries_) {
    if (entry.options.bind && !entry.options.remount && !entry.tree.valid()) {
      RETURN_IF_ERROR(TakeSource(entry));
    }
  }
  return absl::OkStatus();
}

absl::Status ContainerMounts::Attach(int root_fd) {
  for (Entry& entry : entries_) {
    const absl::Status attached = AttachEntry(root_fd, entry);
    if (!attached.ok()) return Annotate(attached, Cat("mount at ", entry.destination));
  }
  return absl::OkStatus();
}

absl::Status ContainerMounts::Lend(const std::string& folder, Json* config) {
  for (size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    if (!entry.tree.valid()) continue;
    const std::string path = JoinPath(folder, Cat(i));
    RETURN_IF_ERROR(IsFolder(entry.tree.get()) ? MakeFolders(path, 0711)
                                               : ReplaceFile(path, "", 0600));
    ASSIGN_OR_RETURN(const UniqueFd target, OpenFile(path, O_PATH));
    RETURN_IF_ERROR(ChangeMount(entry.tree.get(), entry.options.recursive, TreeDepth::kRecursive,
                                entry.destination));
    RETURN_IF_ERROR(AttachMount(entry.tree.get(), target.get(), path));
    entry.tree.reset();
    Json& mount = (*config)["mounts"][i];
    Json options = Json::array();
    for (const std::string& option : StringList(mount, "options")) {
      if (option != "idmap" && option != "ridmap") options.push_back(ForOneMount(option));
    }
    mount["source"] = path;
    mount["options"] = std::move(options);
    for (const char* key : {"uidMappings", "gidMappings"}) mount.erase(key);
  }
  return absl::OkStatus();
}

absl::Status ContainerMounts::AttachEntry(int root_fd, Entry& entry) {
  if (entry.options.remount) return Remount(root_fd, entry);
  if (entry.options.bind) return AttachBind(root_fd, entry);
  if (entry.type == "cgroup" || entry.type == "cgroup2") return AttachCgroups(root_fd, entry);
  return AttachFilesystem(root_fd, entry);
}

absl::Status ContainerMounts::AttachBind(int root_fd, Entry& entry) {
  const int tree = entry.tree.get();
  const MountOptions& options = entry.options;
  ASSIGN_OR_RETURN(const UniqueFd target, MakeMountpoint(root_fd, entry.destination,
                                                         IsFolder(tree) ? MountpointKind::kFolder
                                                                        : MountpointKind::kFile));
  RETURN_IF_ERROR(RefuseInsideProc(target.get(), "bind", entry.destination));
  // Attributes and propagation that reach equally deep are set in one step.
  MountChange one = options.one;
  MountChange all = options.recursive;
  (options.propagation_recursive ? all : one).propagation = options.propagation;
  RETURN_IF_ERROR(ChangeMount(tree, all, TreeDepth::kRecursive, entry.destination));
  RETURN_IF_ERROR(ChangeMount(tree, one, TreeDepth::kOne, entry.destination));
  RETURN_IF_ERROR(AttachMount(tree, target.get(), entry.destination));
  entry.tree.reset();
  return absl::OkStatus();
}

absl::Status ContainerMounts::AttachFilesystem(int root_fd, Entry& entry) {
  const MountOptions& options = entry.options;
  UniqueFd target;
  if (entry.type == "proc" || entry.type == "sysfs") {
    // An image whose /proc is a link could have later steps look at a fake (CVE-2023-27561).
    RETURN_IF_ERROR(MakeFoldersInRoot(root_fd, entry.destination).status());
    ASSIGN_OR_RETURN(target, OpenInRootNoLinks(root_fd, entry.destination));
  } else {
    ASSIGN_OR_RETURN(target, MakeMountpoint(root_fd, entry.destination, MountpointKind::kFolder));
  }
  RETURN_IF_ERROR(RefuseInsideProc(target.get(), entry.type, entry.destination));
  ASSIGN_OR_RETURN(NewFilesystem fs, NewFilesystem::Open(entry.type));
  if (!entry.source.empty()) RETURN_IF_ERROR(fs.Set("source", entry.source));
  for (const std::string& option : options.filesystem) RETURN_IF_ERROR(fs.SetOption(option));
  MountChange now{.set = options.one.set | options.recursive.set};
  // Devices, mount points and copies are made in it first.
  const bool seal_later = entry.type == "tmpfs" && (now.set & MOUNT_ATTR_RDONLY) != 0;
  if (seal_later) now.set &= ~static_cast<uint64_t>(MOUNT_ATTR_RDONLY);
  if (options.read_only && !IsPseudo(entry.type)) RETURN_IF_ERROR(fs.SetFlag("ro"));
  if (entry.type == "tmpfs" || entry.type == "devpts") RETURN_IF_ERROR(SetMountLabel(fs, *config_));
  ASSIGN_OR_RETURN(UniqueFd mount, fs.Mount(now.set));
  if (options.copy_up && entry.type == "tmpfs") {
    RETURN_IF_ERROR(CopyUp(root_fd, entry.destination, mount.get()));
  }
  RETURN_IF_ERROR(AttachMount(mount.get(), target.get(), entry.destination));
  RETURN_IF_ERROR(SetPropagation(mount.get(), options, entry.destination));
  if (seal_later) {
    sealed_.push_back({std::move(mount), entry.destination, {.set = MOUNT_ATTR_RDONLY}});
  }
  return absl::OkStatus();
}

// The container's own cgroup, bound from the host's mounts: with a cgroup namespace this looks as a
// mount of one's own would, and it cannot change the hierarchy's options (nsdelegate).
absl::Status ContainerMounts::AttachCgroups(int root_fd, Entry& entry) {
  ASSIGN_OR_RETURN(const UniqueFd target,
                   MakeMountpoint(root_fd, entry.destination, MountpointKind::kFolder));
  RETURN_IF_ERROR(RefuseInsideProc(target.get(), entry.type, entry.destination));
  const MountOptions& options = entry.options;
  const MountChange change{.set = options.one.set | options.recursive.set};
  if (cgroups_->version() == CgroupVersion::kV2) {
    const std::string folder = JoinPath(cgroups_->Unified()->folder, cgroup_);
    ASSIGN_OR_RETURN(const UniqueFd tree, CloneMount(AT_FDCWD, folder, TreeDepth::kOne));
    MountChange private_change = change;
    private_change.propagation = MS_PRIVATE;
    if (options.propagation != 0) private_change.propagation = options.propagation;
    RETURN_IF_ERROR(ChangeMount(tree.get(), private_change, TreeDepth::kOne, entry.destination));
    return AttachMount(tree.get(), target.get(), entry.destination);
  }
  ASSIGN_OR_RETURN(NewFilesystem fs, NewFilesystem::Open("tmpfs"));
  RETURN_IF_ERROR(fs.Set("mode", "755"));
  ASSIGN_OR_RETURN(const UniqueFd folder, fs.Mount(0));
  RETURN_IF_ERROR(AttachMount(folder.get(), target.get(), entry.destination));
  RETURN_IF_ERROR(FillCgroups(folder.get(), entry));
  return ChangeMount(folder.get(), {.set = change.set, .propagation = MS_PRIVATE},
                     TreeDepth::kRecursive, entry.destination);
}

absl::Status ContainerMounts::FillCgroups(int folder_fd, const Entry& entry) {
  for (const CgroupHierarchy& hierarchy : cgroups_->hierarchies()) {
    const std::string name = BaseName(hierarchy.folder);
    ASSIGN_OR_RETURN(const UniqueFd tree,
                     CloneMount(AT_FDCWD, JoinPath(hierarchy.folder, cgroup_), TreeDepth::kOne));
    if (::mkdirat(folder_fd, name.c_str(), 0755) != 0) {
      return ErrnoStatus("making ", entry.destination, "/", name);
    }
    if (::move_mount(tree.get(), "", folder_fd, name.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
      return ErrnoStatus("mounting ", entry.destination, "/", name);
    }
    if (hierarchy.v2) continue;
    // "cpu" and "cpuacct" beside "cpu,cpuacct".
    for (const std::string& controller : hierarchy.controllers) {
      if (controller == name || controller.find('=') != std::string::npos) continue;
      if (::symlinkat(name.c_str(), folder_fd, controller.c_str()) != 0 && errno != EEXIST) {
        return ErrnoStatus("linking ", entry.destination, "/", controller);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ContainerMounts::Remount(int root_fd, const Entry& entry) const {
  ASSIGN_OR_RETURN(const UniqueFd target, OpenInRoot(root_fd, entry.destination));
  RETURN_IF_ERROR(
      ChangeMount(target.get(), entry.options.recursive, TreeDepth::kRecursive, entry.destination));
  MountChange change = entry.options.one;
  change.propagation = entry.options.propagation;
  return ChangeMount(target.get(), change, TreeDepth::kOne, entry.destination);
}

absl::Status ContainerMounts::SealReadOnly() {
  for (const Sealed& sealed : sealed_) {
    RETURN_IF_ERROR(
        ChangeMount(sealed.mount.get(), sealed.change, TreeDepth::kOne, sealed.destination));
  }
  sealed_.clear();
  return absl::OkStatus();
}

}  // namespace crisp
