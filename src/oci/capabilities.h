// Capabilities of a container's process: CRI's adds and drops on the default set, never more than
// the daemon itself may hand on. Any thread.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "api/cri.pb.h"
#include "base/json.h"

namespace crisp {

struct CapabilitySets {
  std::set<std::string> bounding, effective, permitted, inheritable, ambient;
};

// "CAP_CHOWN" for "chown", "CAP_CHOWN" and so on; empty if Linux has no such capability.
std::string CapabilityName(std::string_view name);

// InvalidArgument names a capability that does not exist. Inheritable and ambient stay empty but
// for add_ambient_capabilities (CVE-2022-27652).
absl::StatusOr<CapabilitySets> BuildCapabilities(const runtime::v1::Capability& capabilities,
                                                 bool privileged,
                                                 const std::set<std::string>& daemon_bounding_set);

// OCI's process.capabilities.
Json CapabilitiesJson(const CapabilitySets& sets);

}  // namespace crisp
