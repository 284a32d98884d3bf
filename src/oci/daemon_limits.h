// DaemonLimits: what the daemon itself may hand on to containers and what this kernel can do,
// probed once at the start. Plain values; any thread.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace crisp {

inline constexpr char kAppArmorParser[] = "/sbin/apparmor_parser";

struct ResourceLimit {
  std::string type;  // "RLIMIT_NOFILE"
  uint64_t soft = 0;
  uint64_t hard = 0;
};

struct DaemonLimits {
  std::set<std::string> bounding_capabilities;  // "CAP_CHOWN", ...; of the daemon's bounding set
  // A lower oom_score_adj than the daemon's own needs CAP_SYS_RESOURCE; below this values are
  // raised.
  int min_oom_score_adj = -1000;
  // What every container gets. Probe() before the daemon raises limits of its own.
  std::vector<ResourceLimit> rlimits;
  bool cgroup_v2 = false;           // version 2 alone: containers get a private cgroup namespace
  bool unified = false;             // version 2 is mounted, alone or beside version 1
  bool recursive_read_only = true;  // mount_setattr, Linux 5.12
  bool swap_accounting = true;      // the memory controller limits swap
  // Why no pod can have a user namespace; ok if it can. Not probed here: it depends on the folder
  // of the layers (ProbeUserNamespaces).
  absl::Status user_namespaces;
  // Whether an OCI runtime finds a controller for huge pages: in version 1, or version 2 alone.
  bool runtime_huge_pages = true;
  bool apparmor = false;
  absl::Status apparmor_default;  // whether crisp's default profile is loaded
  std::string apparmor_securityfs = "/sys/kernel/security/apparmor";
  bool selinux = false;
  std::string hostname;  // of the node

  // Of this process, on this kernel.
  static DaemonLimits Probe();
  // The same for a daemon whose bounding set were this one.
  static DaemonLimits ProbeWith(std::set<std::string> bounding_capabilities);
};

}  // namespace crisp
