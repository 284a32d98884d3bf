#include "kernel/cgroup_device_filter.h"

#include <fcntl.h>
#include <linux/bpf_common.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr size_t kMaxRules = 1024;

bpf_insn Move(int to, int32_t value) {
  return {BPF_ALU64 | BPF_MOV | BPF_K, static_cast<uint8_t>(to), 0, 0, value};
}
bpf_insn LoadWord(int to, int from, int16_t offset) {
  return {BPF_LDX | BPF_MEM | BPF_W, static_cast<uint8_t>(to), static_cast<uint8_t>(from), offset,
          0};
}
bpf_insn CopyWord(int to, int from) {
  return {BPF_ALU | BPF_MOV | BPF_X, static_cast<uint8_t>(to), static_cast<uint8_t>(from), 0, 0};
}
bpf_insn AndWord(int reg, int32_t mask) {
  return {BPF_ALU | BPF_AND | BPF_K, static_cast<uint8_t>(reg), 0, 0, mask};
}
bpf_insn ShiftRight(int reg, int32_t bits) {
  return {BPF_ALU | BPF_RSH | BPF_K, static_cast<uint8_t>(reg), 0, 0, bits};
}
bpf_insn JumpUnlessEqual(int reg, int32_t value) {
  return {BPF_JMP | BPF_JNE | BPF_K, static_cast<uint8_t>(reg), 0, 0, value};
}
bpf_insn JumpUnlessSame(int reg, int other) {
  return {BPF_JMP | BPF_JNE | BPF_X, static_cast<uint8_t>(reg), static_cast<uint8_t>(other), 0, 0};
}
bpf_insn Exit() { return {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}; }

int Bpf(int command, bpf_attr* attr) {
  return static_cast<int>(syscall(SYS_bpf, command, attr, sizeof *attr));
}

absl::StatusOr<UniqueFd> LoadDeviceProgram(const std::vector<bpf_insn>& program) {
  static constexpr char kLicence[] = "Apache-2.0";
  bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = reinterpret_cast<uint64_t>(program.data());
  attr.insn_cnt = static_cast<uint32_t>(program.size());
  attr.license = reinterpret_cast<uint64_t>(kLicence);
  UniqueFd fd(Bpf(BPF_PROG_LOAD, &attr));
  if (!fd.valid()) return ErrnoStatus("load the BPF program for device access");
  return fd;
}

std::vector<uint32_t> AttachedPrograms(int cgroup_fd) {
  std::vector<uint32_t> ids(64);
  bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.query.target_fd = cgroup_fd;
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = reinterpret_cast<uint64_t>(ids.data());
  attr.query.prog_cnt = static_cast<uint32_t>(ids.size());
  ids.resize(Bpf(BPF_PROG_QUERY, &attr) == 0 ? attr.query.prog_cnt : 0);
  return ids;
}

void DetachProgram(int cgroup_fd, uint32_t id) {
  bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_id = id;
  const UniqueFd program(Bpf(BPF_PROG_GET_FD_BY_ID, &attr));
  if (!program.valid()) return;
  memset(&attr, 0, sizeof attr);
  attr.target_fd = cgroup_fd;
  attr.attach_bpf_fd = program.get();
  attr.attach_type = BPF_CGROUP_DEVICE;
  Bpf(BPF_PROG_DETACH, &attr);
}

}  // namespace

absl::StatusOr<std::vector<DeviceRule>> ParseDeviceRules(const Json& devices) {
  if (!devices.is_array() || devices.size() > kMaxRules) {
    return absl::InvalidArgumentError(
        Cat("linux.resources.devices must be an array of at most ", kMaxRules, " rules"));
  }
  std::vector<DeviceRule> rules;
  for (const Json& device : devices) {
    DeviceRule rule;
    rule.allow = JsonBool(device, "allow");
    const std::string type = JsonString(device, "type", "a");
    const std::string access = JsonString(device, "access", "rwm");
    rule.major = JsonInt(device, "major", -1);
    rule.minor = JsonInt(device, "minor", -1);
    if (type != "a" && type != "b" && type != "c" && type != "u") {
      return absl::InvalidArgumentError(Cat("device type \"", type, "\" is none of a, b, c"));
    }
    if (access.find_first_not_of("rwm") != std::string::npos || rule.major < -1 ||
        rule.minor < -1 || rule.major > INT32_MAX || rule.minor > INT32_MAX) {
      return absl::InvalidArgumentError(Cat("device rule \"", JsonText(device), "\" is malformed"));
    }
    rule.type = type == "u" ? 'c' : type[0];
    rule.read = access.find('r') != std::string::npos;
    rule.write = access.find('w') != std::string::npos;
    rule.make_node = access.find('m') != std::string::npos;
    rules.push_back(rule);
  }
  return rules;
}

bool AllowsAllDevices(const std::vector<DeviceRule>& rules) {
  if (rules.empty()) return true;
  const DeviceRule& last = rules.back();
  return last.allow && last.type == 'a' && last.major < 0 && last.minor < 0 && last.read &&
         last.write && last.make_node;
}

std::string DeviceRuleText(const DeviceRule& rule) {
  const auto number = [](int64_t value) { return value < 0 ? std::string("*") : Cat(value); };
  return Cat(std::string(1, rule.type), " ", number(rule.major), ":", number(rule.minor), " ",
             rule.read ? "r" : "", rule.write ? "w" : "", rule.make_node ? "m" : "");
}

absl::Status ApplyDeviceRulesV1(const CgroupFolder& folder, const std::vector<DeviceRule>& rules) {
  for (const DeviceRule& rule : rules) {
    // The kernel takes "a" for everything, whatever follows it; OCI's "a" with numbers means both
    // kinds of device.
    std::vector<DeviceRule> written = {rule};
    if (rule.type == 'a' && (rule.major >= 0 || rule.minor >= 0)) {
      written = {rule, rule};
      written[0].type = 'b';
      written[1].type = 'c';
    }
    for (const DeviceRule& one : written) {
      const std::string text = one.type == 'a' ? "a" : DeviceRuleText(one);
      RETURN_IF_ERROR(folder.Write(one.allow ? "devices.allow" : "devices.deny", text));
    }
  }
  return absl::OkStatus();
}

std::vector<bpf_insn> CompileDeviceRules(const std::vector<DeviceRule>& rules) {
  // struct bpf_cgroup_dev_ctx: access_type (type in the low half, access in the high), major,
  // minor.
  std::vector<bpf_insn> program = {
      LoadWord(BPF_REG_2, BPF_REG_1, 0), CopyWord(BPF_REG_3, BPF_REG_2),
      AndWord(BPF_REG_2, 0xffff),        ShiftRight(BPF_REG_3, 16),
      LoadWord(BPF_REG_4, BPF_REG_1, 4), LoadWord(BPF_REG_5, BPF_REG_1, 8),
  };
  for (auto rule = rules.rbegin(); rule != rules.rend(); ++rule) {
    std::vector<bpf_insn> block;
    std::vector<size_t> exits;  // jumps to the next rule
    const auto unless = [&](bpf_insn jump) {
      exits.push_back(block.size());
      block.push_back(jump);
    };
    if (rule->type != 'a') {
      unless(
          JumpUnlessEqual(BPF_REG_2, rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR));
    }
    const int32_t access = (rule->read ? BPF_DEVCG_ACC_READ : 0) |
                           (rule->write ? BPF_DEVCG_ACC_WRITE : 0) |
                           (rule->make_node ? BPF_DEVCG_ACC_MKNOD : 0);
    constexpr int32_t kAll = BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD;
    if (access != kAll) {
      block.push_back(CopyWord(BPF_REG_1, BPF_REG_3));
      block.push_back(AndWord(BPF_REG_1, access));
      if (rule->allow) {
        // All that is asked for must be allowed.
        unless(JumpUnlessSame(BPF_REG_1, BPF_REG_3));
      } else {
        // One denied kind of access is enough.
        block.push_back({BPF_JMP | BPF_JNE | BPF_K, BPF_REG_1, 0, 1, 0});
        unless({BPF_JMP | BPF_JA, 0, 0, 0, 0});
      }
    }
    if (rule->major >= 0) unless(JumpUnlessEqual(BPF_REG_4, static_cast<int32_t>(rule->major)));
    if (rule->minor >= 0) unless(JumpUnlessEqual(BPF_REG_5, static_cast<int32_t>(rule->minor)));
    const bool unconditional = exits.empty();
    block.push_back(Move(BPF_REG_0, rule->allow ? 1 : 0));
    block.push_back(Exit());
    for (const size_t at : exits) block[at].off = static_cast<int16_t>(block.size() - at - 1);
    program.insert(program.end(), block.begin(), block.end());
    // The verifier refuses code that nothing reaches.
    if (unconditional) return program;
  }
  program.push_back(Move(BPF_REG_0, 0));
  program.push_back(Exit());
  return program;
}

absl::Status ApplyDeviceRulesV2(const CgroupFolder& folder, const std::vector<DeviceRule>& rules) {
  ASSIGN_OR_RETURN(const UniqueFd cgroup, OpenFile(folder.path(), O_RDONLY | O_DIRECTORY));
  const std::vector<uint32_t> before = AttachedPrograms(cgroup.get());
  if (!AllowsAllDevices(rules)) {
    ASSIGN_OR_RETURN(const UniqueFd program, LoadDeviceProgram(CompileDeviceRules(rules)));
    bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.target_fd = cgroup.get();
    attr.attach_bpf_fd = program.get();
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    if (Bpf(BPF_PROG_ATTACH, &attr) != 0) {
      return ErrnoStatus("attach the BPF program for device access to ", folder.path());
    }
  }
  for (const uint32_t id : before) DetachProgram(cgroup.get(), id);
  return absl::OkStatus();
}

}  // namespace crisp
