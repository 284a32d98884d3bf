// MountOptions: the options of one OCI mount, sorted by who they are for: the mount's attributes,
// its propagation, the file system (fsconfig), or the launcher. OCI runtime-spec, "Linux mount
// options".
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernel/mount.h"

namespace crisp {

struct MountOptions {
  MountChange one;        // ro, nosuid, ...: for this mount
  MountChange recursive;  // rro, rnosuid, ...: for it and all below
  uint64_t propagation = 0;
  bool propagation_recursive = false;
  bool bind = false;
  TreeDepth bind_depth = TreeDepth::kOne;
  bool remount = false;
  bool copy_up = false;
  bool map_recursively = false;         // "ridmap": the ids of mounts below are mapped, too
  bool read_only = false;               // "ro" or "rro" was the last word
  std::vector<std::string> filesystem;  // "mode=755", "sync"
};

// The option that says the same of one mount alone: "ro" for "rro"; others are themselves.
std::string ForOneMount(const std::string& option);

// "idmap" alone says nothing: a mount is id-mapped if it has mappings.
absl::StatusOr<MountOptions> ParseMountOptions(const std::vector<std::string>& options);

}  // namespace crisp
