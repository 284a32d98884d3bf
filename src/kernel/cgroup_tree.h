// CgroupTree: which cgroup hierarchies this host has and where they are mounted, read once from
// mountinfo. Version 1 has a mount per controller (or group of them), version 2 has one for all,
// a hybrid host has both. Immutable after Detect(); any thread. Linked into the static monitor.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crisp {

enum class CgroupVersion { kV1, kV2, kHybrid };

struct CgroupHierarchy {
  std::string folder;  // where it is mounted: "/sys/fs/cgroup/memory"
  bool v2 = false;
  // "cpu", "cpuacct", ...; for a named version 1 hierarchy "name=systemd". Of version 2: those that
  // its root offers (cgroup.controllers).
  std::vector<std::string> controllers;

  bool Has(std::string_view controller) const;
};

class CgroupTree {
 public:
  // The hierarchies mounted at `root` or below it, as `mountinfo` lists them for the caller's mount
  // namespace. FailedPrecondition if there is none.
  static absl::StatusOr<CgroupTree> Detect(const std::string& root = "/sys/fs/cgroup",
                                           const std::string& mountinfo = "/proc/self/mountinfo");

  CgroupVersion version() const { return version_; }
  const std::vector<CgroupHierarchy>& hierarchies() const { return hierarchies_; }
  // The hierarchy that has this controller, or null.
  const CgroupHierarchy* WithController(std::string_view controller) const;
  // The version 2 hierarchy, or null.
  const CgroupHierarchy* Unified() const;
  // Where the processes of a cgroup are counted, frozen and killed: version 2 if it is mounted,
  // else the freezer, else any.
  const CgroupHierarchy& Tracker() const;

 private:
  CgroupVersion version_ = CgroupVersion::kV1;
  std::vector<CgroupHierarchy> hierarchies_;
};

// The hierarchies in this text (the content of a mountinfo file) at or below root. For tests and
// fuzzing; the controllers of version 2 stay empty.
std::vector<CgroupHierarchy> ParseCgroupMounts(std::string_view mountinfo, std::string_view root);

}  // namespace crisp
