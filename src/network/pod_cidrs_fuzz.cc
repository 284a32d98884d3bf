// Whatever ParsePodCidrs takes comes back the same when it is printed and parsed again.
#include <cstdlib>

#include "base/text.h"
#include "network/pod_cidrs.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto subnets = crisp::ParsePodCidrs({reinterpret_cast<const char*>(data), size});
  if (!subnets.ok()) return 0;
  if (subnets->empty() || subnets->size() > 2) abort();
  std::string text;
  for (const crisp::IpPrefix& subnet : *subnets) {
    text += crisp::Cat(text.empty() ? "" : ",", subnet.ToString());
  }
  const auto again = crisp::ParsePodCidrs(text);
  if (!again.ok() || *again != *subnets) abort();
  return 0;
}
