// CopyUp: what an image has at a folder, copied into a new tmpfs that will cover it (mount option
// "tmpcopyup"). Used in the forked child alone.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace crisp {

// Copies the content of path inside the root (folders, files, links, with owner, mode and times;
// nothing else) into the folder target_fd, and gives target_fd the folder's owner and mode. Ok if
// there is nothing.
absl::Status CopyUp(int root_fd, const std::string& path, int target_fd);

}  // namespace crisp
