// The names in a folder that is made into an archive.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace crisp {

// Sorted, without "." and "..". The descriptor, which may be O_PATH, keeps its place.
absl::StatusOr<std::vector<std::string>> SortedNames(int folder);

}  // namespace crisp
