// ByteSource: bytes in order, from whoever has them, a piece at a time. One thread at a time.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"

namespace crisp {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // The next piece, valid until the next call; empty at the end. An error is final.
  virtual absl::StatusOr<std::string_view> Next() = 0;
};

}  // namespace crisp
