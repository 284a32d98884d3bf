// ApplyDiff: a checkpoint's tar archives back into folders: the difference to the image into a new
// writable layer, and what a volume or /dev/shm held. Hostile as any layer: LayerWriter resolves
// every path inside the folder. Blocks; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/call.h"
#include "image/layer_writer.h"

namespace crisp {

// The archive's entries into the existing, empty `folder`. deleted: absolute paths, which become
// whiteouts; so the folder must be an overlay's upper one, or the list empty. An absent archive is
// an empty one.
absl::Status ApplyDiff(const std::string& archive, const std::vector<std::string>& deleted,
                       const std::string& folder, const LayerBounds& bounds, const Call& call);

}  // namespace crisp
