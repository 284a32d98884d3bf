// The request of a hostile client, as the server reads it.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "stream/http_head.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::stream;  // NOLINT
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto found = FindHttpHead(bytes);
  if (!found.ok() || *found == 0) return 0;
  if (*found > size) std::abort();
  const auto head = ParseHttpHead(bytes.substr(0, *found));
  if (!head.ok()) return 0;
  (void)head->Path();
  (void)head->Query("port");
  (void)head->Values("X-Stream-Protocol-Version");
  (void)head->Has("Connection", "Upgrade");
  return 0;
}
