#include "oci/runtime_features.h"

#include <algorithm>

#include "base/json.h"

namespace crisp {
namespace {

bool ListHas(const Json& object, std::string_view key, std::string_view word) {
  const Json* list = JsonMember(object, key);
  return list != nullptr && list->is_array() &&
         std::any_of(list->begin(), list->end(), [&](const Json& entry) {
           return entry.is_string() && entry.get_ref<const std::string&>() == word;
         });
}

}  // namespace

RuntimeFeatures ParseRuntimeFeatures(std::string_view text) {
  RuntimeFeatures features;
  const absl::StatusOr<Json> document = ParseJson(text, "features");
  if (!document.ok()) return features;
  features.recursive_read_only_mounts = ListHas(*document, "mountOptions", "rro");
  const Json* linux_part = JsonMember(*document, "linux");
  features.user_namespaces = linux_part != nullptr && ListHas(*linux_part, "namespaces", "user");
  return features;
}

}  // namespace crisp
