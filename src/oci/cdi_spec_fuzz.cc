// A CDI specification, as JSON and as YAML.
#include <cstdint>
#include <cstdlib>

#include "oci/cdi_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"spec.json", "spec.yaml"}) {
    const auto spec = crisp::ParseCdiSpec(text, name);
    if (!spec.ok()) continue;
    std::string kind, device;
    for (const auto& [one, edits] : spec->devices) {
      if (!crisp::SplitCdiName(spec->kind + "=" + one, &kind, &device)) std::abort();
      for (const crisp::CdiNode& node : edits.nodes) {
        if (node.path.empty() || node.path[0] != '/') std::abort();
      }
    }
  }
  return 0;
}
