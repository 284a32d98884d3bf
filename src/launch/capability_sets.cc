#include "launch/capability_sets.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "base/status.h"
#include "launch/json_list.h"

namespace crisp {
namespace {

// By number, as in capabilities(7).
constexpr std::string_view kNames[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};
constexpr unsigned kKnown = sizeof kNames / sizeof kNames[0];

absl::StatusOr<uint64_t> ParseSet(const Json& capabilities, std::string_view key) {
  uint64_t set = 0;
  for (const std::string& name : StringList(capabilities, key)) {
    std::string_view rest = name;
    if (rest.substr(0, 4) == "CAP_") rest.remove_prefix(4);
    unsigned number = 0;
    while (number < kKnown && kNames[number] != rest) ++number;
    if (number == kKnown) {
      return absl::InvalidArgumentError(Cat("unknown capability \"", name, "\" in ", key));
    }
    set |= uint64_t{1} << number;
  }
  return set;
}

struct KernelSets {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
};

}  // namespace

absl::StatusOr<CapabilitySets> ParseCapabilities(const Json& process) {
  const Json& json = ObjectOf(process, "capabilities");
  CapabilitySets sets;
  ASSIGN_OR_RETURN(sets.bounding, ParseSet(json, "bounding"));
  ASSIGN_OR_RETURN(sets.effective, ParseSet(json, "effective"));
  ASSIGN_OR_RETURN(sets.inheritable, ParseSet(json, "inheritable"));
  ASSIGN_OR_RETURN(sets.permitted, ParseSet(json, "permitted"));
  ASSIGN_OR_RETURN(sets.ambient, ParseSet(json, "ambient"));
  return sets;
}

absl::Status DropBounding(uint64_t keep) {
  // Up to the first that the kernel does not know, which may be more than we have names for.
  for (unsigned number = 0; number < 64; ++number) {
    if ((keep >> number & 1) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0) {
      if (errno == EINVAL) break;
      return ErrnoStatus("dropping capability ", number, " from the bounding set");
    }
  }
  return absl::OkStatus();
}

absl::Status SetCapabilities(const CapabilitySets& sets, uint64_t also) {
  KernelSets now;
  if (::syscall(SYS_capget, &now.header, now.data) != 0) return ErrnoStatus("capget");
  const uint64_t have = now.data[0].permitted | uint64_t{now.data[1].permitted} << 32;
  const uint64_t permitted = (sets.permitted | also) & have;
  const uint64_t effective = (sets.effective | also) & permitted;
  // Adding to the inheritable set what is not bounding is refused, too.
  const uint64_t inheritable = sets.inheritable & have & (sets.bounding | also);
  KernelSets next;
  for (int half = 0; half < 2; ++half) {
    next.data[half].permitted = static_cast<uint32_t>(permitted >> (32 * half));
    next.data[half].effective = static_cast<uint32_t>(effective >> (32 * half));
    next.data[half].inheritable = static_cast<uint32_t>(inheritable >> (32 * half));
  }
  if (::syscall(SYS_capset, &next.header, next.data) != 0) return ErrnoStatus("capset");
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return ErrnoStatus("clearing the ambient capabilities");
  }
  const uint64_t ambient = sets.ambient & permitted & inheritable;
  for (unsigned number = 0; number < kKnown; ++number) {
    if ((ambient >> number & 1) != 0 &&
        ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0) {
      return ErrnoStatus("raising the ambient capability ", FromAbsl(ToAbsl(kNames[number])));
    }
  }
  return absl::OkStatus();
}

}  // namespace crisp
