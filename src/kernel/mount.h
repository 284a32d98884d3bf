// Mounts by the new mount API (Linux 5.12 and later): detached mounts are made and configured by
// descriptor, then attached at a descriptor. No path is looked up twice, nothing half-configured is
// ever visible. Any thread.
#pragma once

#include <sys/mount.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

// A file system being configured: fsopen(2), fsconfig(2), fsmount(2).
class NewFilesystem {
 public:
  // FailedPrecondition if the kernel does not know the type.
  static absl::StatusOr<NewFilesystem> Open(const std::string& type);

  absl::Status Set(const std::string& key, const std::string& value);
  absl::Status SetFlag(const std::string& key);
  // One mount option as in fstab: "key" or "key=value".
  absl::Status SetOption(std::string_view option);
  // Makes the superblock and a detached mount of it. attributes: MOUNT_ATTR_*.
  absl::StatusOr<UniqueFd> Mount(uint64_t attributes);

 private:
  NewFilesystem(std::string type, UniqueFd fd) : type_(std::move(type)), fd_(std::move(fd)) {}
  absl::Status Failed(const std::string& what) const;

  std::string type_;
  UniqueFd fd_;
};

enum class TreeDepth { kOne, kRecursive };

// A detached copy of the mount(s) at a path (relative to folder_fd; empty: folder_fd itself).
absl::StatusOr<UniqueFd> CloneMount(int folder_fd, const std::string& path, TreeDepth depth);

struct MountChange {
  uint64_t set = 0;          // MOUNT_ATTR_*
  uint64_t clear = 0;        // MOUNT_ATTR_*; MOUNT_ATTR__ATIME when `set` holds an atime attribute
  uint64_t propagation = 0;  // MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE or 0
  bool empty() const { return set == 0 && clear == 0 && propagation == 0; }
};
absl::Status ChangeMount(int mount_fd, const MountChange& change, TreeDepth depth,
                         std::string_view name);

// Attaches a detached mount on what target_fd names; afterwards mount_fd is the way into it.
absl::Status AttachMount(int mount_fd, int target_fd, std::string_view name);

// umount2(2); ok if nothing is mounted there. Lazy: detached now, freed when unused.
absl::Status Unmount(const std::string& path, bool lazy = true);

}  // namespace crisp
