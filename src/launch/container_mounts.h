// ContainerMounts: the mounts of config.json, in three steps, because a source must be taken before
// the root covers the bundle, and a source that shall propagate back to the host must be taken
// while the namespace's mounts are still peers of the host's. Used in the forked child alone.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "base/unique_fd.h"
#include "kernel/cgroup.h"
#include "kernel/user_namespace.h"
#include "launch/mount_options.h"

namespace crisp {

class ContainerMounts {
 public:
  // Reads config.json's mounts; bundle is what relative sources are relative to; config is
  // borrowed. cgroup: what a mount of type "cgroup" shows.
  static absl::StatusOr<ContainerMounts> Plan(const Json& config, const std::string& bundle,
                                              const CgroupTree& tree, const std::string& cgroup);

  // The container's user namespace, which most id-mapped mounts use as it is. Borrowed.
  void UseUserNamespace(int fd, IdMaps maps) {
    user_namespace_fd_ = fd;
    user_maps_ = std::move(maps);
  }

  // Before CutOffMounts: sources with shared propagation.
  absl::Status TakeSharedSources();
  // After it, before the root is attached: all others.
  absl::Status TakeSources();
  absl::Status Attach(int root_fd);
  // In place of Attach, for a launcher that leaves mounting to another program: what was taken lies
  // in `folder` then, one a number, its ids mapped and what holds for all mounts below it done, and
  // `config` (a copy of the planned one) asks for no more than to bind it.
  absl::Status Lend(const std::string& folder, Json* config);
  // What must be read-only only after devices and mount points were made in it.
  absl::Status SealReadOnly();

  // Something is mounted on /dev, and it is no bind mount of a folder that has its devices already.
  bool HasOwnDev() const { return own_dev_; }
  bool BindsDev() const { return binds_dev_; }

 private:
  struct Entry {
    std::string destination, type, source;
    MountOptions options;
    UniqueFd tree;
    IdMaps maps;  // not empty: an id-mapped mount
  };
  struct Sealed {
    UniqueFd mount;
    std::string destination;
    MountChange change;
  };

  absl::Status TakeSource(Entry& entry) const;
  absl::Status MapIds(const Entry& entry) const;
  absl::Status AttachEntry(int root_fd, Entry& entry);
  absl::Status AttachBind(int root_fd, Entry& entry);
  absl::Status AttachFilesystem(int root_fd, Entry& entry);
  absl::Status AttachCgroups(int root_fd, Entry& entry);
  absl::Status FillCgroups(int folder_fd, const Entry& entry);
  absl::Status Remount(int root_fd, const Entry& entry) const;

  const Json* config_ = nullptr;
  std::string bundle_;
  const CgroupTree* cgroups_ = nullptr;
  std::string cgroup_;
  std::vector<Entry> entries_;
  std::vector<Sealed> sealed_;
  int user_namespace_fd_ = -1;
  IdMaps user_maps_;
  bool own_dev_ = false;
  bool binds_dev_ = false;
};

}  // namespace crisp
