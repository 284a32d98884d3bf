// ReadOnlyOverlay: the layers of an image as one read-only tree, a detached mount, for who wants to
// mount an image as a volume. Any thread; blocks for about a millisecond. The daemon's alone.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

// Layers: absolute folders, the topmost first. user_namespace_fd: whose ids the layers' are mapped
// to, or -1. mount_label: the SELinux context of all files, or empty. FailedPrecondition before
// Linux 6.7.
absl::StatusOr<UniqueFd> ReadOnlyOverlay(const std::vector<std::string>& layers,
                                         int user_namespace_fd, const std::string& mount_label);

}  // namespace crisp
