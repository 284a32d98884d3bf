// CNI configurations: whatever is accepted must survive being written to the cache and read again.
#include <cstdlib>

#include "network/cni_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config = crisp::ParseCniConfig({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!config.ok()) return 0;
  if (!crisp::IsCniName(config->name)) std::abort();
  for (const crisp::CniPlugin& plugin : config->plugins) {
    if (!crisp::IsCniName(plugin.type)) std::abort();
  }
  if (config->plugins.empty()) return 0;  // may be filled from its folder
  const auto again = crisp::ParseCniConfig(config->text, "again");
  if (!again.ok() || again->text != config->text || again->version != config->version) std::abort();
  return 0;
}
