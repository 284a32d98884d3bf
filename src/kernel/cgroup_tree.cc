#include "kernel/cgroup_tree.h"

#include <algorithm>
#include <array>

#include "base/file.h"
#include "base/status.h"
#include "kernel/mount_info.h"

namespace crisp {
namespace {

constexpr std::array<std::string_view, 13> kControllers = {
    "cpu",  "cpuacct", "cpuset",  "memory",   "devices",    "freezer", "blkio",
    "pids", "hugetlb", "net_cls", "net_prio", "perf_event", "rdma"};

std::vector<std::string> V1Controllers(std::string_view super_options) {
  std::vector<std::string> controllers;
  for (const std::string_view option : Split(super_options, ',')) {
    const bool known =
        std::find(kControllers.begin(), kControllers.end(), option) != kControllers.end();
    if (known || option.starts_with("name=")) controllers.emplace_back(option);
  }
  return controllers;
}

// A line is "id parent device root folder options optional... - type source super_options".
bool ParseLine(std::string_view line, std::string_view root, CgroupHierarchy* hierarchy) {
  const std::vector<std::string_view> fields = SplitWords(line, ' ');
  const auto dash = std::find(fields.begin(), fields.end(), "-");
  if (dash - fields.begin() < 6 || fields.end() - dash < 4) return false;
  const std::string_view type = dash[1];
  if (type != "cgroup" && type != "cgroup2") return false;
  hierarchy->folder = UnescapeMountInfo(fields[4]);
  if (hierarchy->folder != root && !hierarchy->folder.starts_with(Cat(root, "/"))) return false;
  hierarchy->v2 = type == "cgroup2";
  if (!hierarchy->v2) hierarchy->controllers = V1Controllers(dash[3]);
  return hierarchy->v2 || !hierarchy->controllers.empty();
}

}  // namespace

bool CgroupHierarchy::Has(std::string_view controller) const {
  return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
}

std::vector<CgroupHierarchy> ParseCgroupMounts(std::string_view mountinfo, std::string_view root) {
  std::vector<CgroupHierarchy> hierarchies;
  for (const std::string_view line : SplitWords(mountinfo, '\n')) {
    CgroupHierarchy found;
    if (!ParseLine(line, root, &found)) continue;
    // A later mount on the same folder hides the earlier one; a second mount of the same hierarchy
    // elsewhere adds nothing.
    std::erase_if(hierarchies,
                  [&](const CgroupHierarchy& other) { return other.folder == found.folder; });
    const bool again =
        std::any_of(hierarchies.begin(), hierarchies.end(), [&](const CgroupHierarchy& other) {
          return other.v2 == found.v2 && other.controllers == found.controllers;
        });
    if (!again) hierarchies.push_back(std::move(found));
  }
  return hierarchies;
}

absl::StatusOr<CgroupTree> CgroupTree::Detect(const std::string& root,
                                              const std::string& mountinfo) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(mountinfo));
  CgroupTree tree;
  tree.hierarchies_ = ParseCgroupMounts(text, root);
  if (tree.hierarchies_.empty()) {
    return absl::FailedPreconditionError(
        Cat("no cgroup file system is mounted at ", root, " or below it; mount one there"));
  }
  bool v1 = false;
  bool v2 = false;
  for (CgroupHierarchy& hierarchy : tree.hierarchies_) {
    (hierarchy.v2 ? v2 : v1) = true;
    if (!hierarchy.v2) continue;
    ASSIGN_OR_RETURN(const std::string controllers,
                     ReadFile(JoinPath(hierarchy.folder, "cgroup.controllers")));
    for (const std::string_view controller : SplitWords(Trim(controllers), ' ')) {
      hierarchy.controllers.emplace_back(controller);
    }
  }
  tree.version_ = v1 && v2 ? CgroupVersion::kHybrid : v2 ? CgroupVersion::kV2 : CgroupVersion::kV1;
  return tree;
}

const CgroupHierarchy* CgroupTree::WithController(std::string_view controller) const {
  for (const CgroupHierarchy& hierarchy : hierarchies_) {
    if (hierarchy.Has(controller)) return &hierarchy;
  }
  return nullptr;
}

const CgroupHierarchy* CgroupTree::Unified() const {
  for (const CgroupHierarchy& hierarchy : hierarchies_) {
    if (hierarchy.v2) return &hierarchy;
  }
  return nullptr;
}

const CgroupHierarchy& CgroupTree::Tracker() const {
  if (const CgroupHierarchy* unified = Unified()) return *unified;
  if (const CgroupHierarchy* freezer = WithController("freezer")) return *freezer;
  return hierarchies_.front();
}

}  // namespace crisp
