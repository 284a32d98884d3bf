// CNI results, and the other texts that plugins and pods bring: what is accepted must be accepted
// again in every form.
#include <cstdlib>

#include "kernel/ip_address.h"
#include "network/cni_network.h"
#include "network/cni_result.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)crisp::ParseBandwidth(text);
  for (const char* version : {"0.3.1", "1.1.0"}) {
    const auto result = crisp::ParseCniResult(text, version);
    if (!result.ok()) continue;
    for (const std::string& ip : crisp::CniResultIps(*result, "eth0")) {
      if (!crisp::IpAddress::Parse(ip).ok()) std::abort();
    }
    const auto other = crisp::CheckCniResult(*result, "1.0.0");
    if (!other.ok() || !crisp::CheckCniResult(*other, version).ok()) std::abort();
    if (crisp::CniResultIps(*other, "eth0") != crisp::CniResultIps(*result, "eth0")) std::abort();
  }
  return 0;
}
