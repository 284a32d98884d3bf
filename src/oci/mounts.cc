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

std::vector<Json> DefaultMounts(bool privileged, const PodFacts& pod_facts) {
  const char* access = privileged ? "rw" : "ro";
  const std::string shm = pod_facts.shm_path.empty() ? "/dev/shm" : pod_facts.shm_path;
  return {
      MountJson("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      MountJson("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      MountJson("/dev/pts", "devpts", "devpts",
                {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      MountJson("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      MountJson("/dev/shm", "bind", shm, {"rbind", "rprivate", "rw", "nosuid", "noexec", "nodev"}),
      MountJson("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access}),
      MountJson("/sys/fs/cgroup", "cgroup", "cgroup",
                {"nosuid", "noexec", "nodev", "relatime", access}),
  };
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

absl::StatusOr<Json> CriMount(const v1::Mount& mount, const DaemonLimits& limits,
                              PropagationCheck& propagation) {
  if (mount.recursive_read_only() && !limits.recursive_read_only) {
    return absl::UnknownError(
        Cat("RROUnsupported: mounts: ", mount.container_path(),
            " asks for recursive_read_only, which needs Linux 5.12 or later"));
  }
  ASSIGN_OR_RETURN(const std::string source, ResolveSource(mount));
  RETURN_IF_ERROR(propagation.Check(mount, source));
  std::vector<std::string> options = {"rbind"};
  options.push_back(mount.propagation() == v1::PROPAGATION_BIDIRECTIONAL       ? "rshared"
                    : mount.propagation() == v1::PROPAGATION_HOST_TO_CONTAINER ? "rslave"
                                                                               : "rprivate");
  options.push_back(mount.recursive_read_only() ? "rro" : mount.readonly() ? "ro" : "rw");
  options.insert(options.end(), mount.mount_options().begin(), mount.mount_options().end());
  return MountJson(CleanPath(Cat("/", mount.container_path())), "bind", source, std::move(options));
}

}  // namespace

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
      if (!mount.host_path().empty()) return Refuse(mount, "has both host_path and image");
      return absl::UnimplementedError(Cat("mounts: ", mount.container_path(),
                                          " asks for an image as its source, which crisp does not "
                                          "support yet"));
    }
    if (mount.host_path().empty() || mount.host_path().front() != '/') {
      return Refuse(mount, Cat("needs an absolute host_path, not \"", mount.host_path(), "\""));
    }
    if (mount.uidmappings_size() > 0 || mount.gidmappings_size() > 0) {
      return absl::UnimplementedError(Cat("mounts: ", mount.container_path(),
                                          " asks for an id-mapped mount, which crisp does not "
                                          "support yet"));
    }
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
                                            const DaemonLimits& limits) {
  ContainerMounts result;
  std::vector<Json> asked;
  PropagationCheck propagation;
  for (const v1::Mount& mount : container.mounts()) {
    ASSIGN_OR_RETURN(Json json, CriMount(mount, limits, propagation));
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
  std::vector<Json> all =
      DefaultMounts(container.linux().security_context().privileged(), pod_facts);
  for (Json& mount : PodFiles(container, pod_facts)) all.push_back(std::move(mount));
  for (const VolumeMount& volume : facts.image_volumes) {
    all.push_back(MountJson(CleanPath(Cat("/", volume.container_path)), "bind", volume.host_path,
                            {"rbind", "rprivate", "rw"}));
  }
  std::erase_if(all, replaced);
  for (Json& mount : asked) all.push_back(std::move(mount));
  const auto depth = [](const Json& mount) {
    const std::string& target = mount["destination"].get_ref<const std::string&>();
    return std::count(target.begin(), target.end(), '/');
  };
  std::stable_sort(all.begin(), all.end(),
                   [&](const Json& a, const Json& b) { return depth(a) < depth(b); });
  for (Json& mount : all) result.mounts.push_back(std::move(mount));
  return result;
}

}  // namespace crisp
