// JSON from outside: parsing that bounds size and depth and never throws, and typed access with
// defaults. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace crisp {

using Json = nlohmann::json;

// The value, or InvalidArgument: "<name>: <why>". Refuses nesting deeper than 64 levels.
absl::StatusOr<Json> ParseJson(std::string_view text, std::string_view name);

// The compact text; bytes that are no UTF-8 are replaced.
std::string JsonText(const Json& value);

// The member if it is there and of the asked type, otherwise the default. For strict checks use
// JsonMember.
std::string JsonString(const Json& object, std::string_view key, std::string_view fallback = "");
int64_t JsonInt(const Json& object, std::string_view key, int64_t fallback = 0);
bool JsonBool(const Json& object, std::string_view key, bool fallback = false);

// The member, or null if object is no object or has none; valid as long as object is.
const Json* JsonMember(const Json& object, std::string_view key);

}  // namespace crisp
