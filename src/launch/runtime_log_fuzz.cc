// The log of an OCI runtime from hostile bytes: the message is short and holds no control
// character.
#include <cstdint>
#include <cstdlib>

#include "launch/runtime_log.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string message =
      crisp::LastRuntimeMessage({reinterpret_cast<const char*>(data), size});
  if (message.size() > 1024) std::abort();
  for (const char character : message) {
    if (static_cast<unsigned char>(character) < ' ') std::abort();
  }
  (void)crisp::RuntimeFailure(message);
  return 0;
}
