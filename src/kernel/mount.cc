#include "kernel/mount.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/status.h"
#include "base/text.h"

namespace crisp {
namespace {

#ifndef AT_RECURSIVE
constexpr unsigned AT_RECURSIVE = 0x8000;
#endif

// What the kernel itself says about the failure: lines "e overlay: No changes allowed".
std::string KernelReason(int fs_fd) {
  std::string reason;
  char line[512];
  for (int i = 0; i < 8; ++i) {
    const ssize_t size = ::read(fs_fd, line, sizeof line);
    if (size <= 0) break;
    std::string_view text = Trim(std::string_view(line, static_cast<size_t>(size)));
    if (text.size() > 2 && text[1] == ' ') text.remove_prefix(2);
    if (!reason.empty()) reason += "; ";
    reason += text;
  }
  return reason;
}

}  // namespace

absl::StatusOr<NewFilesystem> NewFilesystem::Open(const std::string& type) {
  UniqueFd fd(::fsopen(type.c_str(), FSOPEN_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ENODEV) {
      return absl::FailedPreconditionError(
          Cat("this kernel has no file system of type \"", type, "\""));
    }
    return ErrnoStatus("fsopen ", type);
  }
  return NewFilesystem(type, std::move(fd));
}

absl::Status NewFilesystem::Failed(const std::string& what) const {
  const int error = errno;
  const std::string reason = KernelReason(fd_.get());
  return Errno(error, reason.empty() ? what : Cat(what, " (", reason, ")"));
}

absl::Status NewFilesystem::Set(const std::string& key, const std::string& value) {
  if (::fsconfig(fd_.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) == 0) {
    return absl::OkStatus();
  }
  return Failed(Cat(type_, " option ", key, "=", value));
}

absl::Status NewFilesystem::SetFlag(const std::string& key) {
  if (::fsconfig(fd_.get(), FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0) == 0) {
    return absl::OkStatus();
  }
  return Failed(Cat(type_, " option ", key));
}

absl::Status NewFilesystem::SetOption(std::string_view option) {
  const size_t equals = option.find('=');
  if (equals == std::string_view::npos) return SetFlag(std::string(option));
  return Set(std::string(option.substr(0, equals)), std::string(option.substr(equals + 1)));
}

absl::StatusOr<UniqueFd> NewFilesystem::Mount(uint64_t attributes) {
  if (::fsconfig(fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return Failed(Cat("making the ", type_, " file system"));
  }
  UniqueFd mount(::fsmount(fd_.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)));
  if (!mount.valid()) return Failed(Cat("fsmount ", type_));
  return mount;
}

absl::StatusOr<UniqueFd> CloneMount(int folder_fd, const std::string& path, TreeDepth depth) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  if (path.empty()) flags |= AT_EMPTY_PATH;
  if (depth == TreeDepth::kRecursive) flags |= AT_RECURSIVE;
  UniqueFd tree(::open_tree(folder_fd, path.c_str(), flags));
  if (!tree.valid()) return ErrnoStatus("cloning the mount at \"", path, "\"");
  return tree;
}

absl::Status ChangeMount(int mount_fd, const MountChange& change, TreeDepth depth,
                         std::string_view name) {
  if (change.empty()) return absl::OkStatus();
  struct mount_attr attributes = {};
  attributes.attr_set = change.set;
  attributes.attr_clr = change.clear;
  attributes.propagation = change.propagation;
  const unsigned flags = AT_EMPTY_PATH | (depth == TreeDepth::kRecursive ? AT_RECURSIVE : 0);
  if (::mount_setattr(mount_fd, "", flags, &attributes, sizeof attributes) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus("changing the attributes of the mount at ", name);
}

absl::Status AttachMount(int mount_fd, int target_fd, std::string_view name) {
  if (::move_mount(mount_fd, "", target_fd, "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus("mounting at ", name);
}

absl::Status Unmount(const std::string& path, bool lazy) {
  if (::umount2(path.c_str(), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0 || errno == EINVAL ||
      errno == ENOENT) {
    return absl::OkStatus();
  }
  return ErrnoStatus("unmounting ", path);
}

}  // namespace crisp
