#include "base/json.h"

#include "base/text.h"

namespace crisp {
namespace {

constexpr int kMaxDepth = 64;

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view text, std::string_view name) {
  // nlohmann's own parser recurses nowhere, but the values it makes are destroyed level by level:
  // bound the depth.
  bool too_deep = false;
  const auto check_depth = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) too_deep = true;
    return !too_deep;
  };
  Json value = Json::parse(text.begin(), text.end(), check_depth, /*allow_exceptions=*/false);
  if (too_deep) {
    return absl::InvalidArgumentError(
        Cat(name, ": JSON nested deeper than ", kMaxDepth, " levels"));
  }
  if (value.is_discarded()) return absl::InvalidArgumentError(Cat(name, ": not valid JSON"));
  return value;
}

std::string JsonText(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json* JsonMember(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

std::string JsonString(const Json& object, std::string_view key, std::string_view fallback) {
  const Json* member = JsonMember(object, key);
  return member != nullptr && member->is_string() ? member->get_ref<const std::string&>()
                                                  : std::string(fallback);
}

int64_t JsonInt(const Json& object, std::string_view key, int64_t fallback) {
  const Json* member = JsonMember(object, key);
  return member != nullptr && member->is_number_integer() ? member->get<int64_t>() : fallback;
}

bool JsonBool(const Json& object, std::string_view key, bool fallback) {
  const Json* member = JsonMember(object, key);
  return member != nullptr && member->is_boolean() ? member->get<bool>() : fallback;
}

}  // namespace crisp
