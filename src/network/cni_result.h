// What a CNI plugin answers to ADD: checked and bounded before anything of it is believed, stored
// or handed to the next plugin. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp {

// The result in the form of the given version of the specification. InvalidArgument says what is
// wrong with it.
absl::StatusOr<Json> ParseCniResult(std::string_view text, std::string_view version);
// The same for a value already parsed, such as a cached one.
absl::StatusOr<Json> CheckCniResult(Json result, std::string_view version);

// The pod's addresses on its interface: the first IPv4 address (else the first IPv6 one) comes
// first.
std::vector<std::string> CniResultIps(const Json& result, std::string_view interface_name);

}  // namespace crisp
