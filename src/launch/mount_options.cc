#include "launch/mount_options.h"

#include <string_view>

#include "base/status.h"

namespace crisp {
namespace {

struct AttributeOption {
  std::string_view name;
  uint64_t set, clear;
};

// With the letter r before its name, the option is meant for all mounts below, too.
constexpr AttributeOption kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
    // The atime attributes are one field: it is cleared as a whole before it is set.
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"norelatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
};

const AttributeOption* FindAttribute(std::string_view name) {
  for (const AttributeOption& option : kAttributes) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

// The last word on an attribute holds.
void Apply(const AttributeOption& option, MountChange& change) {
  change.set &= ~option.clear;
  change.clear &= ~option.set;
  change.set |= option.set;
  change.clear |= option.clear;
}

uint64_t Propagation(std::string_view name) {
  if (name == "private") return MS_PRIVATE;
  if (name == "slave") return MS_SLAVE;
  if (name == "shared") return MS_SHARED;
  if (name == "unbindable") return MS_UNBINDABLE;
  return 0;
}

bool IsForLauncher(std::string_view option, MountOptions& result) {
  if (option == "bind") {
    result.bind = true;
  } else if (option == "rbind") {
    result.bind = true;
    result.bind_depth = TreeDepth::kRecursive;
  } else if (option == "remount") {
    result.remount = true;
  } else if (option == "tmpcopyup") {
    result.copy_up = true;
  } else {
    // Defaults, or without a meaning for a mount inside a container.
    return option == "defaults" || option == "silent" || option == "loud" || option == "iversion" ||
           option == "noiversion" || option.empty();
  }
  return true;
}

}  // namespace

std::string ForOneMount(const std::string& option) {
  const bool recursive = option.starts_with('r') && FindAttribute(option) == nullptr &&
                         FindAttribute(option.substr(1)) != nullptr;
  return recursive ? option.substr(1) : option;
}

absl::StatusOr<MountOptions> ParseMountOptions(const std::vector<std::string>& options) {
  MountOptions result;
  for (const std::string& option : options) {
    const std::string_view name = option;
    const std::string_view below = name.substr(name.empty() || name[0] != 'r' ? 0 : 1);
    if (IsForLauncher(name, result)) continue;
    if (name == "idmap" || name == "ridmap") {
      result.map_recursively = name == "ridmap";
      continue;
    }
    if (const AttributeOption* attribute = FindAttribute(name)) {
      Apply(*attribute, result.one);
      if (name == "ro" || name == "rw") result.read_only = name == "ro";
    } else if (const AttributeOption* all = FindAttribute(below)) {
      Apply(*all, result.recursive);
      if (below == "ro" || below == "rw") result.read_only = below == "ro";
    } else if (const uint64_t own = Propagation(name)) {
      result.propagation = own;
      result.propagation_recursive = false;
    } else if (const uint64_t tree = Propagation(below)) {
      result.propagation = tree;
      result.propagation_recursive = true;
    } else {
      result.filesystem.push_back(option);
    }
  }
  return result;
}

}  // namespace crisp
