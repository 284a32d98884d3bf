// The arguments of `crisp port-forward`. Pure function; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace crisp {

struct Forward {
  uint16_t local = 0;  // 0: any that is free
  uint16_t remote = 0;
};

// "80", "8080:80", ":80". InvalidArgument otherwise.
absl::StatusOr<Forward> ParseForward(std::string_view text);

}  // namespace crisp
