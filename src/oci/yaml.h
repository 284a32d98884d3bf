// YAML from outside, as JSON: for files that may be written in either. Any thread.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp {

// The first document. Plain scalars become null, booleans and decimal or 0x numbers as YAML 1.2's
// core schema has it; keys must be strings. InvalidArgument: "<name>: <why>", also for more than
// 64 levels, and for aliases that would make more than 100000 nodes of little text.
absl::StatusOr<Json> ParseYaml(std::string_view text, std::string_view name);

}  // namespace crisp
