// Device access of a cgroup: version 1 writes rules to devices.allow and devices.deny, version 2
// has a BPF program attached. Internal to kernel/cgroup*. One thread.
#pragma once

#include <linux/bpf.h>

#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "kernel/cgroup_folder.h"

namespace crisp {

struct DeviceRule {
  bool allow = false;
  char type = 'a';     // 'a' all, 'b' block, 'c' character
  int64_t major = -1;  // -1: all
  int64_t minor = -1;
  bool read = false;
  bool write = false;
  bool make_node = false;
};

// linux.resources.devices. InvalidArgument for a rule that says nothing sensible.
absl::StatusOr<std::vector<DeviceRule>> ParseDeviceRules(const Json& devices);
// Whether they allow everything to everyone, so that nothing needs to be done.
bool AllowsAllDevices(const std::vector<DeviceRule>& rules);

// The text for devices.allow or devices.deny: "c 1:3 rwm".
std::string DeviceRuleText(const DeviceRule& rule);
absl::Status ApplyDeviceRulesV1(const CgroupFolder& folder, const std::vector<DeviceRule>& rules);

// A program of type BPF_PROG_TYPE_CGROUP_DEVICE: the last rule that matches decides; none: refused.
std::vector<bpf_insn> CompileDeviceRules(const std::vector<DeviceRule>& rules);
// Attaches it and takes off the programs that were attached before.
absl::Status ApplyDeviceRulesV2(const CgroupFolder& folder, const std::vector<DeviceRule>& rules);

}  // namespace crisp
