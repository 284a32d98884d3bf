#include "launch/devices.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <set>
#include <string>

#include "base/file.h"
#include "base/status.h"
#include "kernel/mount.h"
#include "kernel/rooted_path.h"
#include "launch/json_list.h"

namespace crisp {
namespace {

constexpr size_t kMaxDevices = 4096;

struct Device {
  std::string path;
  mode_t mode;  // with its type
  dev_t number;
  uid_t uid = 0;
  gid_t gid = 0;
};

absl::StatusOr<Device> ParseDevice(const Json& json) {
  const std::string path = JsonString(json, "path");
  const std::string type = JsonString(json, "type");
  Device device{path, static_cast<mode_t>(JsonInt(json, "fileMode", 0666) & 07777),
                makedev(static_cast<unsigned>(JsonInt(json, "major")),
                        static_cast<unsigned>(JsonInt(json, "minor"))),
                static_cast<uid_t>(JsonInt(json, "uid")), static_cast<gid_t>(JsonInt(json, "gid"))};
  if (path.empty() || path[0] != '/') {
    return absl::InvalidArgumentError(Cat("device \"", path, "\": the path is not absolute"));
  }
  if (type == "c" || type == "u") {
    device.mode |= S_IFCHR;
  } else if (type == "b") {
    device.mode |= S_IFBLK;
  } else if (type == "p") {
    device.mode |= S_IFIFO;
    device.number = 0;
  } else {
    return absl::InvalidArgumentError(Cat("device ", path, ": unknown type \"", type, "\""));
  }
  return device;
}

absl::Status BindFromHost(const Device& device, int folder_fd, const std::string& name) {
  ASSIGN_OR_RETURN(const UniqueFd node, CloneMount(AT_FDCWD, device.path, TreeDepth::kOne));
  struct stat about = {};
  if (::fstat(node.get(), &about) != 0) return ErrnoStatus("looking at the host's ", device.path);
  if ((about.st_mode & S_IFMT) != (device.mode & S_IFMT) || about.st_rdev != device.number) {
    return absl::FailedPreconditionError(
        Cat("device ", device.path, ": the host's is another device"));
  }
  ASSIGN_OR_RETURN(const UniqueFd target, MakeMountpoint(folder_fd, name, MountpointKind::kFile));
  return AttachMount(node.get(), target.get(), device.path);
}

absl::Status MakeNode(const Device& device, int folder_fd, const std::string& name) {
  if (::mknodat(folder_fd, name.c_str(), device.mode, device.number) != 0) {
    if (errno == EPERM) return BindFromHost(device, folder_fd, name);
    if (errno != EEXIST) return ErrnoStatus("making device ", device.path);
    // The image, or an earlier entry, has something there: only the same device will do.
    struct stat about = {};
    if (::fstatat(folder_fd, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0 &&
        (about.st_mode & S_IFMT) == (device.mode & S_IFMT) && about.st_rdev == device.number) {
      return absl::OkStatus();
    }
    return absl::AlreadyExistsError(
        Cat("device ", device.path, ": something else is at this path in the image"));
  }
  if ((device.uid != 0 || device.gid != 0) &&
      ::fchownat(folder_fd, name.c_str(), device.uid, device.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus("owner of device ", device.path);
  }
  return absl::OkStatus();
}

absl::Status MakeDevice(int root_fd, int dev_fd, const Device& device) {
  const std::string clean = CleanPath(device.path);
  if (clean.rfind("/dev/", 0) == 0 && clean.find('/', 5) == std::string::npos) {
    return MakeNode(device, dev_fd, clean.substr(5));
  }
  ASSIGN_OR_RETURN(const UniqueFd folder, MakeFoldersInRoot(root_fd, FolderOf(clean)));
  return MakeNode(device, folder.get(), BaseName(clean));
}

absl::Status MakeLinks(int dev_fd) {
  constexpr const char* kLinks[][2] = {
      {"/proc/self/fd", "fd"},       {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"},
      {"/proc/self/fd/2", "stderr"}, {"/proc/kcore", "core"},      {"pts/ptmx", "ptmx"},
  };
  for (const auto& [target, name] : kLinks) {
    if (::symlinkat(target, dev_fd, name) != 0 && errno != EEXIST) {
      return ErrnoStatus("making the link /dev/", name);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNull(int fd) {
  struct stat about = {};
  if (::fstat(fd, &about) != 0) return ErrnoStatus("looking at the container's /dev/null");
  if (!S_ISCHR(about.st_mode) || about.st_rdev != makedev(1, 3)) {
    return absl::PermissionDeniedError(
        "the container's /dev/null is not the null device: the image or a mount replaced it");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MakeDevices(int root_fd, const Json& config) {
  ASSIGN_OR_RETURN(const UniqueFd dev, MakeFoldersInRoot(root_fd, "/dev"));
  const Device defaults[] = {
      {"/dev/null", S_IFCHR | 0666, makedev(1, 3)},
      {"/dev/zero", S_IFCHR | 0666, makedev(1, 5)},
      {"/dev/full", S_IFCHR | 0666, makedev(1, 7)},
      {"/dev/random", S_IFCHR | 0666, makedev(1, 8)},
      {"/dev/urandom", S_IFCHR | 0666, makedev(1, 9)},
      {"/dev/tty", S_IFCHR | 0666, makedev(5, 0)},
  };
  std::set<std::string> done;
  const Json& list = ArrayOf(ObjectOf(config, "linux"), "devices");
  if (list.size() > kMaxDevices) {
    return absl::InvalidArgumentError(Cat("config.json: ", list.size(), " devices"));
  }
  for (const Json& json : list) {
    ASSIGN_OR_RETURN(const Device device, ParseDevice(json));
    const std::string clean = CleanPath(device.path);
    // Links of ours, and what devpts brings.
    if (clean == "/dev/ptmx" || clean == "/dev/console" || clean.rfind("/dev/pts/", 0) == 0)
      continue;
    if (!done.insert(clean).second) continue;
    RETURN_IF_ERROR(MakeDevice(root_fd, dev.get(), device));
  }
  for (const Device& device : defaults) {
    if (done.count(device.path) == 0) RETURN_IF_ERROR(MakeDevice(root_fd, dev.get(), device));
  }
  return MakeLinks(dev.get());
}

absl::StatusOr<UniqueFd> OpenContainerNull(int root_fd) {
  ASSIGN_OR_RETURN(UniqueFd null, OpenInRootNoLinks(root_fd, "/dev/null", O_PATH | O_NOFOLLOW));
  RETURN_IF_ERROR(CheckNull(null.get()));
  return null;
}

absl::StatusOr<UniqueFd> OpenContainerNullForIo(int root_fd) {
  ASSIGN_OR_RETURN(UniqueFd null, OpenInRootNoLinks(root_fd, "/dev/null", O_RDWR | O_NOFOLLOW));
  RETURN_IF_ERROR(CheckNull(null.get()));
  return null;
}

}  // namespace crisp
