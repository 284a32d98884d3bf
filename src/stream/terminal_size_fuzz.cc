// Resizes of a hostile client, whole and byte by byte: both must agree.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "stream/terminal_size.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::stream;  // NOLINT
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = TerminalSizeReader().Feed(bytes);
  TerminalSizeReader reader;
  std::optional<TerminalSize> last;
  for (char c : bytes) {
    const auto size_or = reader.Feed({&c, 1});
    if (!size_or.ok()) {
      if (whole.ok()) std::abort();
      return 0;
    }
    if (*size_or) last = **size_or;
  }
  if (!whole.ok() || *whole != last) std::abort();
  return 0;
}
