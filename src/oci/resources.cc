// BuildResources: CRI's LinuxContainerResources as OCI's linux.resources.
#include <algorithm>

#include "base/file.h"
#include "base/status.h"
#include "oci/spec.h"

namespace crisp {
namespace {

constexpr int64_t kDefaultPeriod = 100'000;  // microseconds; the kernel's own

absl::Status RefuseResource(std::string_view field, std::string_view why) {
  return absl::InvalidArgumentError(Cat("linux.resources.", field, " ", why));
}

// "0-3,8" and the like: digits, commas, dashes, which the kernel checks further.
absl::Status CheckCpuset(std::string_view field, const std::string& value) {
  if (value.size() <= 4096 && value.find_first_not_of("0123456789,-\n ") == std::string::npos) {
    return absl::OkStatus();
  }
  return RefuseResource(field, Cat("\"", value.substr(0, 64), "\" is no list of numbers"));
}

absl::Status CheckNumbers(const runtime::v1::LinuxContainerResources& resources) {
  if (resources.cpu_period() != 0 &&
      (resources.cpu_period() < 1000 || resources.cpu_period() > 1000000)) {
    return RefuseResource("cpu_period",
                          Cat(resources.cpu_period(), " is not 1000 to 1000000 microseconds"));
  }
  if (resources.cpu_quota() != 0 && resources.cpu_quota() != -1 && resources.cpu_quota() < 1000) {
    return RefuseResource(
        "cpu_quota", Cat(resources.cpu_quota(), " is neither -1 nor at least 1000 microseconds"));
  }
  if (resources.cpu_shares() < 0) return RefuseResource("cpu_shares", "is negative");
  if (resources.memory_limit_in_bytes() < -1)
    return RefuseResource("memory_limit_in_bytes", "is negative");
  if (resources.memory_swap_limit_in_bytes() < -1) {
    return RefuseResource("memory_swap_limit_in_bytes", "is negative");
  }
  if (resources.oom_score_adj() < -1000 || resources.oom_score_adj() > 1000) {
    return RefuseResource("oom_score_adj", Cat(resources.oom_score_adj(), " is not -1000 to 1000"));
  }
  RETURN_IF_ERROR(CheckCpuset("cpuset_cpus", resources.cpuset_cpus()));
  return CheckCpuset("cpuset_mems", resources.cpuset_mems());
}

// OCI's swap is memory and swap together; a memory limit alone means no swap at all.
absl::Status AddMemory(const runtime::v1::LinuxContainerResources& resources,
                       const DaemonLimits& limits, Json* result) {
  const int64_t limit = resources.memory_limit_in_bytes();
  int64_t swap = resources.memory_swap_limit_in_bytes();
  if (swap > 0 && limit > 0 && swap < limit) {
    return RefuseResource("memory_swap_limit_in_bytes",
                          Cat("(", swap,
                              ") is memory and swap together and must not be below "
                              "memory_limit_in_bytes (",
                              limit, ")"));
  }
  if (swap > 0 && limit <= 0) {
    return RefuseResource("memory_swap_limit_in_bytes", "needs memory_limit_in_bytes beside it");
  }
  if (swap == 0) swap = limit;
  if (limit != 0) (*result)["memory"]["limit"] = limit;
  if (swap != 0 && limits.swap_accounting) (*result)["memory"]["swap"] = swap;
  return absl::OkStatus();
}

absl::Status AddHugePages(const runtime::v1::LinuxContainerResources& resources, Json* result) {
  for (const runtime::v1::HugepageLimit& limit : resources.hugepage_limits()) {
    const std::string& size = limit.page_size();
    const size_t digits = size.find_first_not_of("0123456789");
    const std::string unit = digits == std::string::npos || digits == 0 ? "" : size.substr(digits);
    if (unit != "KB" && unit != "MB" && unit != "GB") {
      return RefuseResource("hugepage_limits", Cat("\"", size.substr(0, 64),
                                                   "\" is no size of a page, such as 2MB or 1GB"));
    }
    (*result)["hugepageLimits"].push_back({{"pageSize", size}, {"limit", limit.limit()}});
  }
  return absl::OkStatus();
}

absl::Status AddUnified(const runtime::v1::LinuxContainerResources& resources,
                        const DaemonLimits& limits, Json* result) {
  if (resources.unified_size() > 0 && !limits.unified) {
    return RefuseResource(
        "unified",
        "needs cgroup version 2, which this host has not mounted; where it is mounted "
        "beside version 1, it needs the runtime handler native, too");
  }
  for (const auto& [file, value] : resources.unified()) {
    // A name must stay a file in the container's own folder, and one of a controller.
    const bool sound = file.size() < 128 && file.find('/') == std::string::npos &&
                       file.find('\0') == std::string::npos &&
                       file.find('.') != std::string::npos && file.front() != '.' &&
                       !file.starts_with("cgroup.");
    if (!sound) {
      return RefuseResource("unified",
                            Cat("\"", file.substr(0, 128), "\" is no file of a cgroup controller"));
    }
    (*result)["unified"][file] = value;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Json> BuildResources(const runtime::v1::LinuxContainerResources& resources,
                                    const DaemonLimits& limits) {
  RETURN_IF_ERROR(CheckNumbers(resources));
  Json result = Json::object();
  if (resources.cpu_shares() != 0) {
    // What both versions take; the kernel would clamp in version 1 anyway.
    result["cpu"]["shares"] = std::clamp<int64_t>(resources.cpu_shares(), 2, 262144);
  }
  if (resources.cpu_quota() != 0) result["cpu"]["quota"] = resources.cpu_quota();
  if (resources.cpu_period() != 0) result["cpu"]["period"] = resources.cpu_period();
  if (!resources.cpuset_cpus().empty()) result["cpu"]["cpus"] = resources.cpuset_cpus();
  if (!resources.cpuset_mems().empty()) result["cpu"]["mems"] = resources.cpuset_mems();
  RETURN_IF_ERROR(AddMemory(resources, limits, &result));
  RETURN_IF_ERROR(AddHugePages(resources, &result));
  RETURN_IF_ERROR(AddUnified(resources, limits, &result));
  return result;
}

runtime::v1::LinuxContainerResources EffectiveResources(
    const runtime::v1::LinuxContainerResources& asked, const Json& built) {
  runtime::v1::LinuxContainerResources effective = asked;
  const Json* cpu = JsonMember(built, "cpu");
  effective.set_cpu_shares(cpu == nullptr ? 0 : JsonInt(*cpu, "shares"));
  if (asked.cpu_quota() > 0 && asked.cpu_period() == 0) effective.set_cpu_period(kDefaultPeriod);
  // 0 also where the kernel does not account for swap: then nothing limits it.
  const Json* memory = JsonMember(built, "memory");
  effective.set_memory_swap_limit_in_bytes(memory == nullptr ? 0 : JsonInt(*memory, "swap"));
  return effective;
}

absl::StatusOr<std::string> CgroupPath(const runtime::v1::PodSandboxConfig& pod,
                                       std::string_view pod_id, std::string_view container_id) {
  const std::string& parent = pod.linux().cgroup_parent();
  if (parent.find('\0') != std::string::npos || parent.size() > 2048) {
    return absl::InvalidArgumentError("linux.cgroup_parent is too long or holds a NUL byte");
  }
  const std::string folder = parent.empty() ? Cat("/crisp/", pod_id) : CleanPath(Cat("/", parent));
  return JoinPath(folder, container_id);
}

}  // namespace crisp
