// Manifests and indexes, and the choice of a platform in whatever an index says.
#include <cstdint>
#include <string_view>

#include "registry/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto document = crisp::ParseManifest({reinterpret_cast<const char*>(data), size}, "", "x");
  if (document.ok() && document->is_index) {
    (void)crisp::ChoosePlatform(document->index, {"linux", "arm", "v7"}, "x");
  }
  return 0;
}
