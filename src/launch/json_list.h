// StringList: an array of strings of config.json. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace crisp {

// Empty if the member is missing; what is no string is left out.
inline std::vector<std::string> StringList(const Json& object, std::string_view key) {
  std::vector<std::string> list;
  const Json* member = JsonMember(object, key);
  if (member == nullptr || !member->is_array()) return list;
  list.reserve(member->size());
  for (const Json& value : *member) {
    if (value.is_string()) list.push_back(value.get_ref<const std::string&>());
  }
  return list;
}

// The member if it is an array, otherwise an empty array.
inline const Json& ArrayOf(const Json& object, std::string_view key) {
  static const Json empty = Json::array();
  const Json* member = JsonMember(object, key);
  return member != nullptr && member->is_array() ? *member : empty;
}

// The member if it is an object, otherwise an empty object.
inline const Json& ObjectOf(const Json& object, std::string_view key) {
  static const Json empty = Json::object();
  const Json* member = JsonMember(object, key);
  return member != nullptr && member->is_object() ? *member : empty;
}

}  // namespace crisp
