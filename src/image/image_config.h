// The OCI image config, as far as a pull needs it: which layers it says the image has.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crisp {

// rootfs.diff_ids, the base first; InvalidArgument if there are others than `layers` of them, or
// the image is for another operating system.
absl::StatusOr<std::vector<std::string>> ParseDiffIds(std::string_view config, size_t layers,
                                                      std::string_view name);

}  // namespace crisp
