// The output of `RUNTIME features` from hostile bytes.
#include <cstdint>

#include "oci/runtime_features.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)crisp::ParseRuntimeFeatures({reinterpret_cast<const char*>(data), size});
  return 0;
}
