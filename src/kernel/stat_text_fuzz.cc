// The kernel's statistics files: whatever they hold, the parsers stay within it and within their
// bounds. The first byte picks one.
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "kernel/stat_text.h"

namespace {

void Check(bool good) {
  if (!good) std::abort();
}

void CheckLinks(std::string_view text) {
  for (const crisp::LinkFigures& link : crisp::ParseNetDev(text)) {
    Check(!link.name.empty() && link.name != "lo");
    Check(link.name.data() >= text.data() &&
          link.name.data() + link.name.size() <= text.data() + text.size());
  }
}

void CheckPressure(std::string_view text) {
  const auto pressure = crisp::ParsePressure(text);
  if (!pressure) return;
  for (const double average : {pressure->some.avg10, pressure->full.avg60, pressure->full.avg300}) {
    Check(std::isfinite(average) && average >= 0 && average <= 1001);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::vector<crisp::DeviceFigures> devices;
  crisp::Figure first;
  crisp::Figure second;
  const crisp::KeyedFigure wanted[] = {{"anon", &first}, {"total_rss", &second}};
  switch (data[0] % 7) {
    case 0:
      crisp::ParseFigure(text);
      if (const auto limit = crisp::ParseLimit(text)) Check(*limit < uint64_t{1} << 62);
      break;
    case 1:
      crisp::ParseKeyed(text, wanted);
      break;
    case 2:
      CheckPressure(text);
      break;
    case 3:
      crisp::ParseIoStat(text, devices);
      break;
    case 4:
      crisp::ParseBlkio(text, true, devices);
      break;
    case 5:
      crisp::ParseBlkio(text, false, devices);
      break;
    default:
      CheckLinks(text);
  }
  Check(devices.size() <= 256);
  return 0;
}
