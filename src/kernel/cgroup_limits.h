// Writing OCI's linux.resources into the files of one hierarchy's folder. Internal to
// kernel/cgroup*. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/json.h"
#include "kernel/cgroup_folder.h"

namespace crisp {

// A number's digits, or "" if the member is absent or no integer.
std::string NumberText(const Json& object, std::string_view key);
// The member, or an empty object.
const Json& JsonSection(const Json& object, std::string_view key);

// One controller's part of the resources ("cpu", "cpuset", "memory", "pids"; "blkio" also stands
// for version 2's "io"). Each writes only what is there. `warnings` gets what is passed over.
absl::Status ApplyV1(std::string_view controller, const CgroupFolder& folder, const Json& resources,
                     std::vector<std::string>* warnings);
absl::Status ApplyV2(std::string_view controller, const CgroupFolder& folder, const Json& resources,
                     std::vector<std::string>* warnings);
// The cpuset of either version, from the resources' "cpu" member.
absl::Status ApplyCpuset(const CgroupFolder& folder, const Json& cpu);
// Huge page limits of either version. A size that this kernel does not have is passed over.
absl::Status ApplyHugePages(const CgroupFolder& folder, bool v2, const Json& limits,
                            std::vector<std::string>* warnings);
// The "unified" member: file names of version 2 with their values.
absl::Status ApplyUnified(const CgroupFolder& folder, const Json& unified);

// cpu.weight for version 1's cpu.shares: 2 -> 1, 1024 -> 100, 262144 -> 10000, as runc and crun
// convert since 2025.
uint64_t CpuWeightOfShares(uint64_t shares);
// io.weight (1..10000) for blkio.weight (10..1000).
uint64_t IoWeightOfBlkio(uint64_t weight);

}  // namespace crisp
