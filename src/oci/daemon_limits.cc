#include "oci/daemon_limits.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/file.h"
#include "base/text.h"
#include "kernel/capability.h"
#include "kernel/cgroup_tree.h"

namespace crisp {
namespace {

// Version 2 has memory.swap.max in every cgroup but the root, version 1 the file at the root too.
bool SwapAccounting(const CgroupTree& tree) {
  const CgroupHierarchy* memory = tree.WithController("memory");
  if (memory == nullptr) return false;
  if (!memory->v2) return PathExists(JoinPath(memory->folder, "memory.memsw.limit_in_bytes"));
  const auto own = ReadFile("/proc/self/cgroup");
  if (!own.ok()) return true;
  for (const std::string_view line : SplitWords(*own, '\n')) {
    if (!line.starts_with("0::/") || line.size() <= 4) continue;
    const std::string folder = memory->folder + std::string(line.substr(3));
    return !PathExists(folder) || PathExists(JoinPath(folder, "memory.swap.max"));
  }
  return true;
}

}  // namespace

DaemonLimits DaemonLimits::Probe() {
  std::set<std::string> capabilities;
  for (const std::string_view name : CapabilityNames()) {
    if (prctl(PR_CAPBSET_READ, CapabilityNumber(name), 0, 0, 0) == 1) capabilities.emplace(name);
  }
  return ProbeWith(std::move(capabilities));
}

DaemonLimits DaemonLimits::ProbeWith(std::set<std::string> bounding_capabilities) {
  DaemonLimits limits;
  limits.bounding_capabilities = std::move(bounding_capabilities);
  if (!limits.bounding_capabilities.contains("CAP_SYS_RESOURCE")) {
    const auto own = ReadFile("/proc/self/oom_score_adj");
    if (own.ok()) limits.min_oom_score_adj = std::atoi(own->c_str());
  }
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    limits.rlimits.push_back({"RLIMIT_NOFILE", files.rlim_cur, files.rlim_max});
  }
  if (const auto tree = CgroupTree::Detect(); tree.ok()) {
    limits.cgroup_v2 = tree->version() == CgroupVersion::kV2;
    limits.unified = tree->Unified() != nullptr;
    limits.swap_accounting = SwapAccounting(*tree);
    const CgroupHierarchy* huge_pages = tree->WithController("hugetlb");
    limits.runtime_huge_pages = huge_pages != nullptr && (limits.cgroup_v2 || !huge_pages->v2);
  }
#ifdef SYS_mount_setattr
  // An empty call on no descriptor: EBADF from a kernel that has it, ENOSYS from one that has not.
  limits.recursive_read_only =
      syscall(SYS_mount_setattr, -1, "", 0, nullptr, 0) == 0 || errno != ENOSYS;
#endif
  const auto apparmor = ReadFile("/sys/module/apparmor/parameters/enabled");
  // Without its parser nobody can have loaded a profile: then it counts as absent, as with others.
  limits.apparmor = apparmor.ok() && apparmor->starts_with("Y") && PathExists(kAppArmorParser);
  limits.selinux = PathExists("/sys/fs/selinux/enforce");
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) == 0) limits.hostname = name;
  return limits;
}

}  // namespace crisp
