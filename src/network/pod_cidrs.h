// The address ranges that a cluster assigns a node for its pods, as text (CRI's pod_cidr). Any
// thread.
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kernel/ip_address.h"

namespace crisp {

// "10.1.2.0/24", or one of each family with a comma between; IPv4 first in the answer, host bits
// cleared. InvalidArgument for anything else, for ranges without room for a pod, and for those that
// no pod can have (loopback, link-local, multicast).
absl::StatusOr<std::vector<IpPrefix>> ParsePodCidrs(std::string_view text);

}  // namespace crisp
