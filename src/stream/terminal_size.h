// What a client sends on its resize stream: JSON objects {"Width":80,"Height":24} one behind the
// other, cut into pieces anywhere. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace crisp::stream {

struct TerminalSize {
  uint16_t width = 0;
  uint16_t height = 0;
  bool operator==(const TerminalSize&) const = default;
};

class TerminalSizeReader {
 public:
  static constexpr size_t kMaxObject = 4096;

  // The last size that ended with this piece; none if none did, or if it was zero in a direction.
  // InvalidArgument for what is no such object; the stream is of no more use then.
  absl::StatusOr<std::optional<TerminalSize>> Feed(std::string_view piece);

 private:
  std::string object_;
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false;
};

}  // namespace crisp::stream
