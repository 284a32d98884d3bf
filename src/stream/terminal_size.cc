#include "stream/terminal_size.h"

#include "absl/strings/match.h"
#include "base/json.h"
#include "base/status.h"

namespace crisp::stream {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

absl::StatusOr<uint16_t> Number(const Json& value, std::string_view name) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > UINT16_MAX) {
    return absl::InvalidArgumentError(
        Cat("a terminal size whose ", name, " is no number from 0 to 65535"));
  }
  return value.get<uint16_t>();
}

absl::StatusOr<TerminalSize> ParseSize(std::string_view text) {
  ASSIGN_OR_RETURN(const Json object, ParseJson(text, "the terminal's size"));
  TerminalSize size;
  for (const auto& [key, value] : object.items()) {
    if (absl::EqualsIgnoreCase(key, "width")) {
      ASSIGN_OR_RETURN(size.width, Number(value, "width"));
    } else if (absl::EqualsIgnoreCase(key, "height")) {
      ASSIGN_OR_RETURN(size.height, Number(value, "height"));
    }
  }
  return size;
}

}  // namespace

absl::StatusOr<std::optional<TerminalSize>> TerminalSizeReader::Feed(std::string_view piece) {
  std::optional<TerminalSize> last;
  for (char c : piece) {
    if (depth_ == 0) {
      if (kSpace.find(c) != std::string_view::npos) continue;
      if (c != '{') return absl::InvalidArgumentError("a terminal size that is no JSON object");
    }
    object_ += c;
    if (object_.size() > kMaxObject) {
      return absl::InvalidArgumentError(Cat("a terminal size of more than ", kMaxObject, " bytes"));
    }
    if (in_string_) {
      if (!escaped_ && c == '"') in_string_ = false;
      escaped_ = !escaped_ && c == '\\';
      continue;
    }
    if (c == '"') in_string_ = true;
    if (c == '{') ++depth_;
    if (c != '}' || --depth_ > 0) continue;
    ASSIGN_OR_RETURN(const TerminalSize size, ParseSize(object_));
    object_.clear();
    if (size.width > 0 && size.height > 0) last = size;
  }
  return last;
}

}  // namespace crisp::stream
