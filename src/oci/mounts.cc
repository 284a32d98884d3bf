#include "oci/mounts.h"

#include <limits.h>
#include <stdlib.h>

#include <algorithm>
#include <optional>

#include "base/file.h"
#include "base/status.h"
#include "kernel/mount_info.h"

namespace crisp {
namespace {

namespace v1 = ::runtime::v1;

Json MountJson(std::string_view destination, std::string_view type, std::string_view source,
               std::vector<std::string> options) {
  return {{"destination", destination},
          {"type", type},
          {"source", source},
          {"options", std::move(options)}};
}

std::string Destination(const Json& mount) { return JsonString(mount, "destination"); }

bool IsBelow(std::string_view path, std::string_view folder) {
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

// A file system of a namespace can be mounted by the owner of the namespace alone: in a user
// namespace, those of the host's namespaces are bound from the host.
Json KernelMount(const char* destination, const char* type, bool hosts,
                 std::vector<std::string> options) {
  if (!hosts) return MountJson(destination, type, type, std::move(options));
  options.insert(options.begin(), {"rbind", "rslave"});
  return MountJson(destination, "bind", destination, std::move(options));
}

std::vector<Json> DefaultMounts(const v1::ContainerConfig& container, const PodFacts& pod_facts,
                                const DaemonLimits& limits) {
  const v1::LinuxContainerSecurityContext& context = container.linux().security_context();
  const char* access = context.privileged() ? "rw" : "ro";
  const std::string shm = pod_facts.shm_path.empty() ? "/dev/shm" : pod_facts.shm_path;
  const bool mapped = !pod_facts.id_maps.empty();
  const bool hosts_sys = mapped && pod_facts.netns_path.empty();
  const char* sys_access = !hosts_sys ? access : limits.recursive_read_only ? "rro" : "ro";
  std::vector<std::string> pts = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"};
  constexpr uint32_t kTtyGroup = 5;
  if (!mapped || pod_facts.id_maps.gids[0].length > kTtyGroup)
    pts.push_back(Cat("gid=", kTtyGroup));
  std::vector<Json> mounts = {
      KernelMount("/proc", "proc", mapped && pod_facts.host_pids, {"nosuid", "noexec", "nodev"}),
      MountJson("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      MountJson("/dev/pts", "devpts", "devpts", std::move(pts)),
      KernelMount("/dev/mqueue", "mqueue", mapped && pod_facts.ipc_path.empty(),
                  {"nosuid", "noexec", "nodev"}),
      MountJson("/dev/shm", "bind", shm, {"rbind", "rprivate", "rw", "nosuid", "noexec", "nodev"}),
      KernelMount("/sys", "sysfs", hosts_sys, {"nosuid", "noexec", "nodev", sys_access}),
      MountJson("/sys/fs/cgroup", "cgroup", "cgroup",
                {"nosuid", "noexec", "nodev", "relatime", access}),
  };
  // Not every host has its own message queues mounted.
  std::erase_if(mounts, [](const Json& mount) {
    return Destination(mount) == "/dev/mqueue" && JsonString(mount, "type") == "bind" &&
           !PathExists("/dev/mqueue");
  });
  return mounts;
}

// /etc/hosts and the like, which the pod keeps on the host.
std::vector<Json> PodFiles(const v1::ContainerConfig& container, const PodFacts& pod_facts) {
  const char* access = container.linux().security_context().readonly_rootfs() ? "ro" : "rw";
  std::vector<Json> mounts;
  const auto add = [&](const char* destination, const std::string& source) {
    if (source.empty()) return;
    mounts.push_back(MountJson(destination, "bind", source, {"rbind", "rprivate", access}));
  };
  add("/etc/hostname", pod_facts.hostname_path);
  add("/etc/hosts", pod_facts.hosts_path);
  add("/etc/resolv.conf", pod_facts.resolv_conf_path);
  return mounts;
}

absl::Status Refuse(const v1::Mount& mount, std::string_view why) {
  return absl::InvalidArgumentError(Cat("mounts: ", mount.container_path(), " ", why));
}

// The source on the host: links followed, so that they cannot be exchanged for others later.
absl::StatusOr<std::string> ResolveSource(const v1::Mount& mount) {
  char resolved[PATH_MAX];
  if (realpath(mount.host_path().c_str(), resolved) != nullptr) return std::string(resolved);
  if (errno == ENOENT) {
    const absl::Status made = MakeFolders(mount.host_path(), 0755);
    if (!made.ok())
      return Annotate(made, Cat("mounts: make the missing host_path of ", mount.container_path()));
    if (realpath(mount.host_path().c_str(), resolved) != nullptr) return std::string(resolved);
  }
  return Annotate(ErrnoStatus("resolve host_path ", mount.host_path()),
                  Cat("mounts: ", mount.container_path()));
}

// Reads mountinfo when the first mount asks for propagation.
class PropagationCheck {
 public:
  absl::Status Check(const v1::Mount& mount, const std::string& source) {
    if (mount.propagation() == v1::PROPAGATION_PRIVATE) return absl::OkStatus();
    if (!mounts_) {
      ASSIGN_OR_RETURN(mounts_, ReadMountInfo());
    }
    const MountInfo* info = MountOf(*mounts_, source);
    const bool shared = info != nullptr && info->shared != 0;
    const bool slave = info != nullptr && info->master != 0;
    if (mount.propagation() == v1::PROPAGATION_BIDIRECTIONAL && !shared) {
      return Refuse(mount, Cat("asks for bidirectional propagation, but host_path ", source,
                               " is not on a shared mount"));
    }
    if (mount.propagation() == v1::PROPAGATION_HOST_TO_CONTAINER && !shared && !slave) {
      return Refuse(mount, Cat("asks for propagation from the host, but host_path ", source,
                               " is neither on a shared nor on a slave mount"));
    }
    return absl::OkStatus();
  }

 private:
  std::optional<std::vector<MountInfo>> mounts_;
};

std::vector<IdRange> Ranges(const google::protobuf::RepeatedPtrField<v1::IDMapping>& mappings) {
  std::vector<IdRange> ranges;
  for (const v1::IDMapping& mapping : mappings) {
    ranges.push_back({mapping.container_id(), mapping.host_id(), mapping.length()});
  }
  return ranges;
}

absl::Status CheckIdMappings(const v1::Mount& mount) {
  if (mount.uidmappings().empty() != mount.gidmappings().empty()) {
    return Refuse(mount, "has only one of uidMappings and gidMappings");
  }
  constexpr int kMaxRanges = 340;  // the kernel's
  for (const auto* list : {&mount.uidmappings(), &mount.gidmappings()}) {
    if (list->size() > kMaxRanges) return Refuse(mount, "has too many id mappings");
    for (const v1::IDMapping& mapping : *list) {
      if (mapping.length() < 1 || uint64_t{mapping.host_id()} + mapping.length() > UINT32_MAX ||
          uint64_t{mapping.container_id()} + mapping.length() > UINT32_MAX) {
        return Refuse(mount, "has an id mapping that is empty or beyond the ids that Linux has");
      }
    }
  }
  return absl::OkStatus();
}

// An image's content: a file system of its own, which nothing is ever mounted in.
absl::StatusOr<Json> ImageMount(const v1::Mount& mount, const ContainerFacts& facts) {
  const auto source = facts.image_mounts.find(mount.container_path());
  if (source == facts.image_mounts.end()) {
    return absl::InternalError(
        Cat("mounts: ", mount.container_path(), ": its image is not mounted"));
  }
  std::vector<std::string> options = {"bind", "rprivate", "ro", "nosuid", "nodev", "noexec"};
  return MountJson(CleanPath(Cat("/", mount.container_path())), "bind", source->second,
                   std::move(options));
}

absl::StatusOr<Json> CriMount(const v1::Mount& mount, const ContainerFacts& facts,
                              const DaemonLimits& limits, PropagationCheck& propagation) {
  if (!mount.image().image().empty()) return ImageMount(mount, facts);
  if (mount.recursive_read_only() && !limits.recursive_read_only) {
    return absl::UnknownError(
        Cat("RROUnsupported: mounts: ", mount.container_path(),
            " asks for recursive_read_only, which needs Linux 5.12 or later and a runtime handler "
            "whose program can do it"));
  }
  ASSIGN_OR_RETURN(const std::string source, ResolveSource(mount));
  RETURN_IF_ERROR(propagation.Check(mount, source));
  std::vector<std::string> options = {"rbind"};
  options.push_back(mount.propagation() == v1::PROPAGATION_BIDIRECTIONAL       ? "rshared"
                    : mount.propagation() == v1::PROPAGATION_HOST_TO_CONTAINER ? "rslave"
                                                                               : "rprivate");
  options.push_back(mount.recursive_read_only() ? "rro" : mount.readonly() ? "ro" : "rw");
  options.insert(options.end(), mount.mount_options().begin(), mount.mount_options().end());
  Json json =
      MountJson(CleanPath(Cat("/", mount.container_path())), "bind", source, std::move(options));
  if (mount.uidmappings_size() > 0) {
    if (!limits.user_namespaces.ok()) {
      return absl::FailedPreconditionError(Cat("mounts: ", mount.container_path(),
                                               " asks for an id-mapped mount, but ",
                                               FromAbsl(limits.user_namespaces.message())));
    }
    AddIdMaps({Ranges(mount.uidmappings()), Ranges(mount.gidmappings())}, &json);
  }
  return json;
}

absl::Status CheckImageMount(const v1::Mount& mount) {
  if (!mount.host_path().empty()) return Refuse(mount, "has both host_path and image");
  if (mount.propagation() != v1::PROPAGATION_PRIVATE) {
    return Refuse(mount, "mounts an image, which needs PROPAGATION_PRIVATE");
  }
  const std::string& path = mount.image_sub_path();
  if (path.starts_with('/') || path.find('\0') != std::string::npos) {
    return Refuse(mount, "has an image_sub_path that is not relative");
  }
  for (const std::string_view part : Split(path, '/')) {
    if (part == "..") return Refuse(mount, "has an image_sub_path that leads out of the image");
  }
  for (const std::string& option : mount.mount_options()) {
    if (option != "noexec" && option != "nodev" && option != "nosuid") {
      return Refuse(mount, Cat("has the mount option \"", option,
                               "\"; only noexec, nodev and nosuid are known"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

void AddIdMaps(const IdMaps& maps, Json* object) {
  const auto add = [&](const char* key, const std::vector<IdRange>& ranges) {
    Json& list = (*object)[key];
    list = Json::array();
    for (const IdRange& range : ranges) {
      list.push_back(
          {{"containerID", range.inside}, {"hostID", range.outside}, {"size", range.length}});
    }
  };
  add("uidMappings", maps.uids);
  add("gidMappings", maps.gids);
}

void SortMounts(Json* mounts) {
  const auto depth = [](const Json& mount) {
    const std::string target = Destination(mount);
    return std::count(target.begin(), target.end(), '/');
  };
  std::stable_sort(mounts->begin(), mounts->end(),
                   [&](const Json& a, const Json& b) { return depth(a) < depth(b); });
}

absl::Status ValidateMounts(const v1::ContainerConfig& container) {
  for (const v1::Mount& mount : container.mounts()) {
    if (mount.container_path().empty()) {
      return absl::InvalidArgumentError("mounts: a mount has no container_path");
    }
    if (mount.container_path().find('\0') != std::string::npos ||
        mount.host_path().find('\0') != std::string::npos) {
      return absl::InvalidArgumentError("mounts: a path holds a NUL byte");
    }
    if (CleanPath(Cat("/", mount.container_path())) == "/") {
      return Refuse(mount, "would cover the whole root");
    }
    if (mount.has_image() && !mount.image().image().empty()) {
      RETURN_IF_ERROR(CheckImageMount(mount));
      continue;
    }
    if (!mount.image_sub_path().empty()) return Refuse(mount, "has an image_sub_path but no image");
    if (mount.host_path().empty() || mount.host_path().front() != '/') {
      return Refuse(mount, Cat("needs an absolute host_path, not \"", mount.host_path(), "\""));
    }
    RETURN_IF_ERROR(CheckIdMappings(mount));
    if (!v1::MountPropagation_IsValid(mount.propagation())) {
      return Refuse(mount, "has an unknown propagation");
    }
    if (mount.recursive_read_only()) {
      if (!mount.readonly()) return Refuse(mount, "asks for recursive_read_only without readonly");
      if (mount.propagation() != v1::PROPAGATION_PRIVATE) {
        return Refuse(mount, "asks for recursive_read_only, which needs PROPAGATION_PRIVATE");
      }
    }
    for (const std::string& option : mount.mount_options()) {
      if (option != "noexec" && option != "nodev" && option != "nosuid") {
        return Refuse(mount, Cat("has the mount option \"", option,
                                 "\"; only noexec, nodev and nosuid are known"));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ContainerMounts> BuildMounts(const v1::ContainerConfig& container,
                                            const PodFacts& pod_facts, const ContainerFacts& facts,
                                            const DaemonLimits& limits, const Json& devices) {
  ContainerMounts result;
  std::vector<Json> asked;
  PropagationCheck propagation;
  for (const v1::Mount& mount : container.mounts()) {
    ASSIGN_OR_RETURN(Json json, CriMount(mount, facts, limits, propagation));
    asked.push_back(std::move(json));
    if (mount.propagation() == v1::PROPAGATION_BIDIRECTIONAL) {
      result.rootfs_propagation = "rshared";
    } else if (mount.propagation() == v1::PROPAGATION_HOST_TO_CONTAINER &&
               result.rootfs_propagation.empty()) {
      result.rootfs_propagation = "rslave";
    }
  }
  const auto replaced = [&](const Json& mount) {
    const std::string target = Destination(mount);
    return std::any_of(asked.begin(), asked.end(), [&](const Json& other) {
      // Who mounts the whole of /dev brings its content too.
      return Destination(other) == target ||
             (Destination(other) == "/dev" && IsBelow(target, "/dev"));
    });
  };
  std::vector<Json> all = DefaultMounts(container, pod_facts, limits);
  for (Json& mount : PodFiles(container, pod_facts)) all.push_back(std::move(mount));
  for (const VolumeMount& volume : facts.image_volumes) {
    all.push_back(MountJson(CleanPath(Cat("/", volume.container_path)), "bind", volume.host_path,
                            {"rbind", "rprivate", "rw"}));
    // What was copied from the image has the image's ids.
    if (!pod_facts.id_maps.empty()) AddIdMaps(pod_facts.id_maps, &all.back());
  }
  std::erase_if(all, replaced);
  for (Json& mount : asked) all.push_back(std::move(mount));
  for (const Json& mount : devices) all.push_back(mount);
  for (Json& mount : all) result.mounts.push_back(std::move(mount));
  SortMounts(&result.mounts);
  return result;
}

}  // namespace crisp
