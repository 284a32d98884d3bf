// One layer's way: bytes from wherever -> sha256 of the blob (the source's) -> inflate -> sha256
// diff id -> files in a folder, each stage on a thread of its own with bounded buffers between.
// Blocks the caller; any thread. The folder is for the caller to remove if this fails.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/call.h"
#include "image/layer_writer.h"

namespace crisp {

// Hands a blob's bytes to the sink in order and verifies them; called on a thread of the pipeline.
using BlobReader =
    std::function<absl::Status(const std::function<absl::Status(std::string_view)>&)>;

struct UnpackedLayer {
  uint64_t bytes = 0;  // of file data
  uint64_t inodes = 0;
  std::vector<std::string> implied_folders;
};

struct LayerJob {
  std::string name;     // for words: "layer sha256:... of docker.io/library/busybox:latest"
  std::string diff_id;  // what the unpacked archive's digest must be
  std::string folder;   // exists, empty
  LayerBounds bounds;
  BlobReader read;
};

// Ok once everything is written, verified and on disk (synced). DataLoss for a wrong diff id or a
// damaged stream, InvalidArgument for a bad archive, ResourceExhausted for a full disk or a bomb.
absl::StatusOr<UnpackedLayer> UnpackLayer(const LayerJob& job, const Call& call);

}  // namespace crisp
