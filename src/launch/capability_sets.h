// Capability sets of OCI's process.capabilities, cut to what this process has itself. Any thread
// for parsing; the others change the calling process.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp {

struct CapabilitySets {
  uint64_t bounding = 0, effective = 0, inheritable = 0, permitted = 0, ambient = 0;
};

// Bit n is capability n. Without process.capabilities all are empty. InvalidArgument for an unknown
// name; names that only a newer kernel knows are passed over.
absl::StatusOr<CapabilitySets> ParseCapabilities(const Json& process);

absl::Status DropBounding(uint64_t keep);

// Sets what can be set of them (a capability that this process lacks is left out, never an error)
// and the ambient set. `also` stays permitted and effective besides.
absl::Status SetCapabilities(const CapabilitySets& sets, uint64_t also);

}  // namespace crisp
