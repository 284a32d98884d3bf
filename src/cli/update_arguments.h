// What people write for limits on `crisp update`'s command line, as the CRI's numbers. One thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace crisp {

// "64M", "1.5G", "512K", "1048576" (binary units, a trailing "i", "B" or "iB" allowed): bytes, more
// than 0. "max" is -1. InvalidArgument with the forms that are understood.
absl::StatusOr<int64_t> ParseBytes(std::string_view text);

// "1.5" processors as the quota in microseconds of a period of 100 ms; "max" is -1.
absl::StatusOr<int64_t> ParseCpus(std::string_view text);

}  // namespace crisp
