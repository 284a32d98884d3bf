// References: what parses must survive its own text.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "registry/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto reference = crisp::Reference::Parse({reinterpret_cast<const char*>(data), size});
  if (!reference.ok()) return 0;
  const auto again = crisp::Reference::Parse(reference->Text());
  if (!again.ok() || again->Text() != reference->Text()) std::abort();
  return 0;
}
