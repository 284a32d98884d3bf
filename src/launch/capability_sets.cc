#include "launch/capability_sets.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "kernel/capability.h"
#include "launch/json_list.h"

namespace crisp {
namespace {

absl::StatusOr<uint64_t> ParseSet(const Json& capabilities, std::string_view key) {
  uint64_t set = 0;
  for (const std::string& name : StringList(capabilities, key)) {
    const int number = CapabilityNumber(name.starts_with("CAP_") ? name : Cat("CAP_", name));
    if (number < 0) {
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
  const std::span<const std::string_view> names = CapabilityNames();
  for (size_t number = 0; number < names.size(); ++number) {
    if ((ambient >> number & 1) != 0 &&
        ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0) {
      return ErrnoStatus("raising the ambient capability ", names[number]);
    }
  }
  return absl::OkStatus();
}

}  // namespace crisp
