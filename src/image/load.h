// Loading of local images: an OCI image layout or a `docker save` archive, as a folder or a tar.
// Blocks; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/call.h"
#include "image/catalog.h"
#include "image/image_store.h"
#include "image/pull_progress.h"

namespace crisp {

// As ImageStore::Load. `scratch` is a folder for temporary files.
absl::StatusOr<std::vector<LoadedImage>> LoadImages(const std::string& path,
                                                    const std::string& name,
                                                    const std::string& scratch,
                                                    ImageCatalog& catalog,
                                                    const ImageStoreOptions& options,
                                                    const Call& call, PullProgress& progress);

}  // namespace crisp
