// Cgroup::Apply: hands each part of OCI's linux.resources to the hierarchy that can do it.
#include "base/file.h"
#include "base/status.h"
#include "kernel/cgroup.h"
#include "kernel/cgroup_device_filter.h"
#include "kernel/cgroup_folder.h"
#include "kernel/cgroup_limits.h"

namespace crisp {
namespace {

// Whether any of these members is there and says more than "unset".
bool Asks(const Json& section, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    const Json* member = JsonMember(section, key);
    if (member == nullptr || member->is_null()) continue;
    if (member->is_string() && member->get_ref<const std::string&>().empty()) continue;
    if (member->is_structured() && member->empty()) continue;
    return true;
  }
  return false;
}

std::vector<std::string_view> ControllersAsked(const Json& resources) {
  std::vector<std::string_view> asked;
  const Json& cpu = JsonSection(resources, "cpu");
  if (Asks(cpu,
           {"shares", "quota", "period", "burst", "idle", "realtimeRuntime", "realtimePeriod"})) {
    asked.push_back("cpu");
  }
  if (Asks(cpu, {"cpus", "mems"})) asked.push_back("cpuset");
  if (Asks(JsonSection(resources, "memory"),
           {"limit", "reservation", "swap", "swappiness", "disableOOMKiller"})) {
    asked.push_back("memory");
  }
  if (JsonInt(JsonSection(resources, "pids"), "limit") != 0) asked.push_back("pids");
  if (Asks(resources, {"blockIO"})) asked.push_back("blkio");
  return asked;
}

}  // namespace

absl::Status Cgroup::Apply(const Json& resources) {
  RETURN_IF_ERROR(ApplyLimits(resources, nullptr));
  return ApplyDevices(resources);
}

absl::StatusOr<std::vector<CgroupWrite>> Cgroup::Plan(const Json& resources) {
  std::vector<CgroupWrite> plan;
  RETURN_IF_ERROR(ApplyLimits(resources, &plan));
  return plan;
}

absl::Status Cgroup::ApplyLimits(const Json& resources, std::vector<CgroupWrite>* plan) {
  if (IsRoot()) return absl::InvalidArgumentError("the root cgroup is nobody's to limit");
  const auto open = [plan](const Place& place) {
    absl::StatusOr<CgroupFolder> folder = CgroupFolder::Open(place.folder);
    if (folder.ok()) folder->PlanInto(plan);
    return folder;
  };
  for (const std::string_view controller : ControllersAsked(resources)) {
    const Place* place = PlaceOf(controller);
    if (place == nullptr && controller == "blkio") place = PlaceOf("io");
    if (place == nullptr) {
      return absl::FailedPreconditionError(Cat("a ", controller, " limit is asked for cgroup ",
                                               path_, ", but this host has no cgroup controller \"",
                                               controller, "\""));
    }
    ASSIGN_OR_RETURN(const CgroupFolder folder, open(*place));
    RETURN_IF_ERROR(place->hierarchy->v2 ? ApplyV2(controller, folder, resources, &warnings_)
                                         : ApplyV1(controller, folder, resources, &warnings_));
  }
  if (const Json& limits = JsonSection(resources, "hugepageLimits"); !limits.empty()) {
    if (const Place* place = PlaceOf("hugetlb")) {
      ASSIGN_OR_RETURN(const CgroupFolder folder, open(*place));
      RETURN_IF_ERROR(ApplyHugePages(folder, place->hierarchy->v2, limits, &warnings_));
    } else {
      warnings_.push_back("huge pages are not limited: this host has no hugetlb controller");
    }
  }
  if (const Json& unified = JsonSection(resources, "unified"); !unified.empty()) {
    const Place* place = nullptr;
    for (const Place& candidate : places_) {
      if (candidate.hierarchy->v2) place = &candidate;
    }
    if (place == nullptr) {
      return absl::FailedPreconditionError(
          "linux.resources.unified needs cgroup version 2, which this host has not mounted");
    }
    ASSIGN_OR_RETURN(const CgroupFolder folder, open(*place));
    RETURN_IF_ERROR(ApplyUnified(folder, unified));
  }
  return absl::OkStatus();
}

absl::Status Cgroup::ApplyDevices(const Json& resources) {
  const Json* devices = JsonMember(resources, "devices");
  if (devices == nullptr || devices->empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<DeviceRule> rules, ParseDeviceRules(*devices));
  if (const Place* place = PlaceOf("devices")) {
    // A new cgroup has what its parent has; widening it would fail below a narrower parent.
    if (AllowsAllDevices(rules)) return absl::OkStatus();
    ASSIGN_OR_RETURN(const CgroupFolder folder, CgroupFolder::Open(place->folder));
    return ApplyDeviceRulesV1(folder, rules);
  }
  for (const Place& place : places_) {
    if (!place.hierarchy->v2) continue;
    ASSIGN_OR_RETURN(const CgroupFolder folder, CgroupFolder::Open(place.folder));
    return ApplyDeviceRulesV2(folder, rules);
  }
  if (AllowsAllDevices(rules)) return absl::OkStatus();
  return absl::FailedPreconditionError(Cat(
      "the device rules of cgroup ", path_,
      " cannot be enforced: this host has neither the devices controller nor cgroup version 2"));
}

}  // namespace crisp
