// ImageImport: takes one image, wherever its blobs come from, through its layers into the catalog.
// Used by pulls (a registry) and loads (a local archive). Blocks; any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/call.h"
#include "image/catalog.h"
#include "image/image_store.h"
#include "image/pull_progress.h"
#include "registry/manifest.h"

namespace crisp {

// Where an image's blobs are. Both verify what they hand out against the descriptor.
class BlobStore {
 public:
  virtual ~BlobStore() = default;
  virtual absl::StatusOr<std::string> ReadSmall(const Descriptor& blob, const Call& call) = 0;
  virtual absl::Status Read(const Descriptor& blob, const Call& call,
                            const std::function<absl::Status(std::string_view)>& sink) = 0;
};

struct ImportRequest {
  std::string name;  // for words
  ImageManifest manifest;
  std::vector<std::string> tags;
  std::vector<std::string> digests;
};

// Fetches what is missing, several layers at a time, and commits the image; returns its id. After
// an error nothing of it is left.
absl::StatusOr<std::string> ImportImage(const ImportRequest& request, BlobStore& blobs,
                                        ImageCatalog& catalog, const ImageStoreOptions& options,
                                        const Call& call, PullProgress& progress);

}  // namespace crisp
