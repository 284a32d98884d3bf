// An image's configuration document, as a registry sends it, up to the arguments and environment of
// a process.
#include <cstdint>
#include <cstdlib>

#include "base/json.h"
#include "oci/process.h"
#include "oci/spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto document =
      crisp::ParseJson({reinterpret_cast<const char*>(data), size}, "image configuration");
  if (!document.ok()) return 0;
  const auto image = crisp::ParseImageConfig(*document);
  if (!image.ok()) return 0;
  const runtime::v1::ContainerConfig container;
  for (const std::string& volume : crisp::UncoveredVolumes(container, *image)) {
    if (volume.size() < 2 || volume.front() != '/') std::abort();
  }
  const auto args = crisp::BuildArgs(container, *image);
  if (args.ok() && (args->empty() || args->front().empty())) std::abort();
  const auto environment = crisp::BuildEnvironment(container, *image, "host", "/");
  if (!environment.ok()) std::abort();
  for (const std::string& variable : *environment) {
    if (variable.find('=') == std::string::npos || variable.front() == '=') std::abort();
  }
  crisp::EffectiveStopSignal(runtime::v1::SIGNAL_RUNTIME_DEFAULT, image->stop_signal).IgnoreError();
  return 0;
}
