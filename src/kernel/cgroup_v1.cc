// Limits in version 1's files (Documentation/admin-guide/cgroup-v1 of Linux).
#include <array>
#include <cerrno>

#include "base/file.h"
#include "base/status.h"
#include "kernel/cgroup_limits.h"

namespace crisp {
namespace {

struct FileOf {
  const char* key;   // of OCI
  const char* file;  // of version 1
};

absl::Status WriteNumbers(const CgroupFolder& folder, const Json& section,
                          std::initializer_list<FileOf> files) {
  for (const FileOf& entry : files) {
    const std::string value = NumberText(section, entry.key);
    if (!value.empty()) RETURN_IF_ERROR(folder.Write(entry.file, value));
  }
  return absl::OkStatus();
}

// Two files with a rule between their values: the order that works depends on the old values.
absl::Status WriteInEitherOrder(const CgroupFolder& folder, const std::string& first_file,
                                const std::string& first, const std::string& second_file,
                                const std::string& second) {
  const int error = first.empty() ? 0 : folder.TryWrite(first_file, first);
  if (!second.empty()) RETURN_IF_ERROR(folder.Write(second_file, second));
  return error == 0 ? absl::OkStatus() : folder.Write(first_file, first);
}

absl::Status ApplyCpuV1(const CgroupFolder& folder, const Json& cpu) {
  RETURN_IF_ERROR(WriteInEitherOrder(folder, "cpu.cfs_period_us", NumberText(cpu, "period"),
                                     "cpu.cfs_quota_us", NumberText(cpu, "quota")));
  RETURN_IF_ERROR(WriteInEitherOrder(folder, "cpu.rt_period_us", NumberText(cpu, "realtimePeriod"),
                                     "cpu.rt_runtime_us", NumberText(cpu, "realtimeRuntime")));
  const std::string shares = NumberText(cpu, "shares");
  // 0 is "unset" in CRI; the kernel would make it 2.
  if (!shares.empty() && shares != "0") RETURN_IF_ERROR(folder.Write("cpu.shares", shares));
  return WriteNumbers(folder, cpu, {{"burst", "cpu.cfs_burst_us"}, {"idle", "cpu.idle"}});
}

absl::Status ApplyMemoryV1(const CgroupFolder& folder, const Json& memory,
                           std::vector<std::string>* warnings) {
  const std::string limit = NumberText(memory, "limit");
  std::string swap = NumberText(memory, "swap");
  if (!swap.empty() && swap != "0" && !folder.Has("memory.memsw.limit_in_bytes")) {
    warnings->push_back(Cat("swap of cgroup ", folder.path(),
                            " is not limited: this kernel does not account for swap"));
    swap.clear();
  }
  if (swap == "0") swap.clear();
  RETURN_IF_ERROR(WriteInEitherOrder(folder, "memory.limit_in_bytes", limit,
                                     "memory.memsw.limit_in_bytes", swap));
  RETURN_IF_ERROR(WriteNumbers(
      folder, memory,
      {{"reservation", "memory.soft_limit_in_bytes"}, {"swappiness", "memory.swappiness"}}));
  if (JsonBool(memory, "disableOOMKiller")) return folder.Write("memory.oom_control", "1");
  return absl::OkStatus();
}

absl::Status ApplyBlockIoV1(const CgroupFolder& folder, const Json& block_io) {
  const std::string weight = NumberText(block_io, "weight");
  if (!weight.empty() && weight != "0") {
    const char* file = folder.Has("blkio.weight") ? "blkio.weight" : "blkio.bfq.weight";
    RETURN_IF_ERROR(folder.Write(file, weight));
  }
  static constexpr std::array<FileOf, 4> kThrottles = {{
      {"throttleReadBpsDevice", "blkio.throttle.read_bps_device"},
      {"throttleWriteBpsDevice", "blkio.throttle.write_bps_device"},
      {"throttleReadIOPSDevice", "blkio.throttle.read_iops_device"},
      {"throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"},
  }};
  for (const FileOf& throttle : kThrottles) {
    for (const Json& device : JsonSection(block_io, throttle.key)) {
      RETURN_IF_ERROR(
          folder.Write(throttle.file, Cat(JsonInt(device, "major"), ":", JsonInt(device, "minor"),
                                          " ", NumberText(device, "rate"))));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ApplyV1(std::string_view controller, const CgroupFolder& folder, const Json& resources,
                     std::vector<std::string>* warnings) {
  const Json& cpu = JsonSection(resources, "cpu");
  if (controller == "cpu") return ApplyCpuV1(folder, cpu);
  if (controller == "memory")
    return ApplyMemoryV1(folder, JsonSection(resources, "memory"), warnings);
  if (controller == "blkio") return ApplyBlockIoV1(folder, JsonSection(resources, "blockIO"));
  if (controller == "cpuset") return ApplyCpuset(folder, cpu);
  const std::string pids = NumberText(JsonSection(resources, "pids"), "limit");
  if (pids.empty() || pids == "0") return absl::OkStatus();
  return folder.Write("pids.max", pids.front() == '-' ? "max" : pids);
}

}  // namespace crisp
