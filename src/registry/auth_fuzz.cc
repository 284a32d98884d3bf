// WWW-Authenticate headers.
#include <cstdint>
#include <string>

#include "registry/auth.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)crisp::ParseChallenges({std::string(reinterpret_cast<const char*>(data), size)});
  return 0;
}
