// RuntimeFeatures: what an OCI runtime says it can do: the output of `RUNTIME features` (OCI
// runtime-spec, features.md). Foreign input; what is missing is taken as not supported. Any thread.
#pragma once

#include <string_view>

namespace crisp {

struct RuntimeFeatures {
  bool recursive_read_only_mounts = false;  // mountOptions has "rro"
  bool user_namespaces = false;             // linux.namespaces has "user"

  bool operator==(const RuntimeFeatures&) const = default;
};

RuntimeFeatures ParseRuntimeFeatures(std::string_view text);

}  // namespace crisp
