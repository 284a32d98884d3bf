// MountInfo: one line of /proc/self/mountinfo, and the mount that holds a path. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crisp {

struct MountInfo {
  int id = 0, parent = 0;
  std::string root;     // which folder of the file system is mounted
  std::string point;    // where
  std::string options;  // of the mount: "rw,nosuid"
  int shared = 0;       // peer group, 0: not shared
  int master = 0;       // peer group that it receives from, 0: no slave
  std::string type, source;
};

// mountinfo writes blank, tab, newline and backslash as "\ooo" (proc(5)).
std::string UnescapeMountInfo(std::string_view text);

// All lines; those that are damaged are left out.
std::vector<MountInfo> ParseMountInfo(std::string_view text);
absl::StatusOr<std::vector<MountInfo>> ReadMountInfo();
// The mount that a path (no links, absolute) lies on: the longest mount point above it, the last
// one if several are stacked. Null if there is none.
const MountInfo* MountOf(const std::vector<MountInfo>& mounts, std::string_view path);

}  // namespace crisp
