// Limits in version 2's files (Documentation/admin-guide/cgroup-v2.rst of Linux).
#include <algorithm>
#include <array>
#include <cmath>

#include "base/file.h"
#include "base/status.h"
#include "kernel/cgroup_limits.h"

namespace crisp {
namespace {

std::string OrMax(const std::string& number) {
  return !number.empty() && number.front() == '-' ? "max" : number;
}

absl::Status ApplyCpuV2(const CgroupFolder& folder, const Json& cpu) {
  if (const int64_t shares = JsonInt(cpu, "shares"); shares > 0) {
    RETURN_IF_ERROR(folder.Write("cpu.weight", Cat(CpuWeightOfShares(shares))));
  }
  const int64_t quota = JsonInt(cpu, "quota");
  const int64_t period = JsonInt(cpu, "period");
  if (quota != 0 || period != 0) {
    // A period alone keeps the quota, and a quota alone the period.
    std::string limit = quota > 0 ? Cat(quota) : "max";
    if (quota == 0) {
      ASSIGN_OR_RETURN(const std::string old, folder.Read("cpu.max"));
      limit = old.substr(0, old.find(' '));
    }
    RETURN_IF_ERROR(folder.Write("cpu.max", period > 0 ? Cat(limit, " ", period) : limit));
  }
  const std::string burst = NumberText(cpu, "burst");
  if (!burst.empty()) RETURN_IF_ERROR(folder.Write("cpu.max.burst", burst));
  const std::string idle = NumberText(cpu, "idle");
  if (!idle.empty()) RETURN_IF_ERROR(folder.Write("cpu.idle", idle));
  return absl::OkStatus();
}

// OCI's swap is memory and swap together; version 2 limits swap alone.
absl::StatusOr<std::string> SwapMax(const Json& memory) {
  const int64_t limit = JsonInt(memory, "limit");
  const int64_t swap = JsonInt(memory, "swap");
  if (swap == 0) return std::string();
  if (swap < 0) return std::string("max");
  if (limit <= 0) {
    return absl::InvalidArgumentError(
        "linux.resources.memory.swap needs memory.limit beside it on cgroup version 2");
  }
  if (swap < limit) {
    return absl::InvalidArgumentError(Cat("linux.resources.memory.swap (", swap,
                                          ") is memory and swap together and must not be "
                                          "below memory.limit (",
                                          limit, ")"));
  }
  return Cat(swap - limit);
}

absl::Status ApplyMemoryV2(const CgroupFolder& folder, const Json& memory,
                           std::vector<std::string>* warnings) {
  ASSIGN_OR_RETURN(const std::string swap, SwapMax(memory));
  if (!swap.empty()) {
    if (folder.Has("memory.swap.max")) {
      RETURN_IF_ERROR(folder.Write("memory.swap.max", swap));
    } else if (swap != "max") {
      warnings->push_back(Cat("swap of cgroup ", folder.path(),
                              " is not limited: this kernel does not account for swap"));
    }
  }
  const std::string limit = OrMax(NumberText(memory, "limit"));
  if (!limit.empty() && limit != "0") RETURN_IF_ERROR(folder.Write("memory.max", limit));
  const std::string reservation = OrMax(NumberText(memory, "reservation"));
  if (!reservation.empty()) RETURN_IF_ERROR(folder.Write("memory.low", reservation));
  return absl::OkStatus();
}

absl::Status ApplyBlockIoV2(const CgroupFolder& folder, const Json& block_io) {
  if (const int64_t weight = JsonInt(block_io, "weight"); weight > 0) {
    if (folder.Has("io.bfq.weight")) {
      RETURN_IF_ERROR(folder.Write("io.bfq.weight", Cat(weight)));
    } else {
      RETURN_IF_ERROR(folder.Write("io.weight", Cat(IoWeightOfBlkio(weight))));
    }
  }
  static constexpr std::array<std::pair<const char*, const char*>, 4> kThrottles = {{
      {"throttleReadBpsDevice", "rbps"},
      {"throttleWriteBpsDevice", "wbps"},
      {"throttleReadIOPSDevice", "riops"},
      {"throttleWriteIOPSDevice", "wiops"},
  }};
  for (const auto& [key, name] : kThrottles) {
    for (const Json& device : JsonSection(block_io, key)) {
      RETURN_IF_ERROR(
          folder.Write("io.max", Cat(JsonInt(device, "major"), ":", JsonInt(device, "minor"), " ",
                                     name, "=", NumberText(device, "rate"))));
    }
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t CpuWeightOfShares(uint64_t shares) {
  if (shares == 0) return 0;
  shares = std::clamp<uint64_t>(shares, 2, 262144);
  const double log = std::log2(static_cast<double>(shares));
  // Maps 2, 1024 and 262144, the smallest, default and largest shares, to those of weights.
  const double exponent = (log * log + 125 * log) / 612.0 - 7.0 / 34.0;
  return static_cast<uint64_t>(std::ceil(std::pow(10, exponent) - 1e-9));
}

uint64_t IoWeightOfBlkio(uint64_t weight) {
  if (weight == 0) return 0;
  weight = std::clamp<uint64_t>(weight, 10, 1000);
  return 1 + (weight - 10) * 9999 / 990;
}

std::string NumberText(const Json& object, std::string_view key) {
  const Json* member = JsonMember(object, key);
  if (member == nullptr || !member->is_number_integer()) return "";
  return member->is_number_unsigned() ? Cat(member->get<uint64_t>()) : Cat(member->get<int64_t>());
}

const Json& JsonSection(const Json& object, std::string_view key) {
  static const Json* const kEmpty = new Json(Json::value_t::object);
  const Json* member = JsonMember(object, key);
  return member != nullptr && member->is_structured() ? *member : *kEmpty;
}

absl::Status ApplyV2(std::string_view controller, const CgroupFolder& folder, const Json& resources,
                     std::vector<std::string>* warnings) {
  const Json& cpu = JsonSection(resources, "cpu");
  if (controller == "cpu") return ApplyCpuV2(folder, cpu);
  if (controller == "memory")
    return ApplyMemoryV2(folder, JsonSection(resources, "memory"), warnings);
  if (controller == "blkio") return ApplyBlockIoV2(folder, JsonSection(resources, "blockIO"));
  if (controller == "cpuset") return ApplyCpuset(folder, cpu);
  const std::string pids = NumberText(JsonSection(resources, "pids"), "limit");
  if (pids.empty() || pids == "0") return absl::OkStatus();
  return folder.Write("pids.max", OrMax(pids));
}

absl::Status ApplyCpuset(const CgroupFolder& folder, const Json& cpu) {
  for (const char* key : {"cpus", "mems"}) {
    const std::string value = JsonString(cpu, key);
    if (!value.empty()) RETURN_IF_ERROR(folder.Write(Cat("cpuset.", key), value));
  }
  return absl::OkStatus();
}

absl::Status ApplyHugePages(const CgroupFolder& folder, bool v2, const Json& limits,
                            std::vector<std::string>* warnings) {
  for (const Json& limit : limits) {
    const std::string size = JsonString(limit, "pageSize");
    const std::string value = NumberText(limit, "limit");
    const bool plain = size.find_first_not_of("0123456789KMGTB") == std::string::npos;
    if (size.empty() || !plain || value.empty()) {
      return absl::InvalidArgumentError(
          Cat("linux.resources.hugepageLimits: \"", JsonText(limit), "\" is malformed"));
    }
    const std::string suffix = v2 ? ".max" : ".limit_in_bytes";
    const std::string file = Cat("hugetlb.", size, suffix);
    if (!folder.Has(file)) {
      warnings->push_back(Cat("huge pages of ", size, " are not limited: this host has none"));
      continue;
    }
    RETURN_IF_ERROR(folder.Write(file, value));
    // Reservations count too, where the kernel has that file (5.7).
    const std::string reserved = Cat("hugetlb.", size, ".rsvd", suffix);
    if (folder.Has(reserved)) RETURN_IF_ERROR(folder.Write(reserved, value));
  }
  return absl::OkStatus();
}

absl::Status ApplyUnified(const CgroupFolder& folder, const Json& unified) {
  if (!unified.is_object())
    return absl::InvalidArgumentError("linux.resources.unified is no object");
  for (const auto& [file, value] : unified.items()) {
    if (file.empty() || file.find('/') != std::string::npos ||
        file.find('.') == std::string::npos || file.starts_with("cgroup.") || file.front() == '.' ||
        !value.is_string()) {
      return absl::InvalidArgumentError(
          Cat("linux.resources.unified: \"", file, "\" is no file of a cgroup controller"));
    }
    for (const std::string_view line : SplitWords(value.get_ref<const std::string&>(), '\n')) {
      const int error = folder.TryWrite(file, line);
      if (error == ENOENT) {
        return absl::FailedPreconditionError(
            Cat("linux.resources.unified: this host has no ", file, " in cgroup ", folder.path()));
      }
      if (error != 0)
        return Errno(error, Cat("write \"", line, "\" to ", folder.path(), "/", file));
    }
  }
  return absl::OkStatus();
}

}  // namespace crisp
