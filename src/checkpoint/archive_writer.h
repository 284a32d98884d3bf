// ArchiveWriter: a checkpoint's folder as the archive that others read. The archive appears whole
// and at once, or not at all: not even a crash leaves a part of it. Blocks; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/call.h"

namespace crisp {

// Everything in `folder` (regular files, and folders of such one level down) as a tar archive at
// `path`, mode 0600, synced. A regular file there is replaced; anything else is InvalidArgument, a
// missing parent folder NotFound.
absl::Status WriteArchive(const std::string& folder, const std::string& path, const Call& call);

// What WriteArchive demands of the path, told before there is anything to write.
absl::Status CheckArchivePath(const std::string& path);

}  // namespace crisp
