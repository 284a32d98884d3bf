// How much a folder holds on disk: allocated bytes and inodes, as du counts them. A walk at a
// leisurely pace, for a thread that has nothing else to do. Follows no links, does not leave the
// file system. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace crisp {

struct DiskUsage {
  uint64_t bytes = 0;
  uint64_t inodes = 0;
};

// `pause` is called after every `pace` entries and may sleep; false ends the walk with Cancelled.
// What vanishes meanwhile is left out. NotFound if the folder is absent.
absl::StatusOr<DiskUsage> MeasureFolder(const std::string& folder, size_t pace,
                                        const std::function<bool()>& pause);

}  // namespace crisp
