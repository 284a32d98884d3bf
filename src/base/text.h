// Text: Cat() joins strings and numbers as absl::StrCat does, and Split() cuts. They exist because
// Debian's Abseil has a string_view of its own, so absl::StrCat and absl::StrSplit refuse
// std::string_view, which crisp uses everywhere. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace crisp {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view FromAbsl(absl::string_view text) { return {text.data(), text.size()}; }

namespace text_internal {
template <typename Part>
decltype(auto) Piece(const Part& part) {
  if constexpr (std::is_same_v<Part, std::string_view>) {
    return ToAbsl(part);
  } else {
    return (part);
  }
}
}  // namespace text_internal

// Strings, string views of both kinds, characters arrays and numbers, joined.
template <typename... Parts>
std::string Cat(const Parts&... parts) {
  return absl::StrCat(text_internal::Piece(parts)...);
}

// The parts between separators, views into text. SplitWords drops empty ones.
std::vector<std::string_view> Split(std::string_view text, char separator);
std::vector<std::string_view> SplitWords(std::string_view text, char separator);

// Without white space at both ends.
std::string_view Trim(std::string_view text);
// A to Z as a to z; other bytes as they are.
std::string LowerCase(std::string_view text);

}  // namespace crisp
