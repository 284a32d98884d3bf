// A whole layer from hostile bytes: inflate, tar, whiteouts, files in a scratch folder. Whatever
// comes, a file beside the layer's folder must stay as it is. Needs root, as the writer does.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/file.h"
#include "image/layer_pipeline.h"

namespace {

struct Scratch {
  Scratch() {
    char pattern[] = "/tmp/crisp-tar-fuzz.XXXXXX";
    folder = mkdtemp(pattern);
    (void)crisp::ReplaceFile(folder + "/beside", "untouched");
  }
  ~Scratch() { (void)crisp::RemoveTree(folder); }
  std::string folder;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Scratch scratch;
  const std::string layer = scratch.folder + "/layer";
  if (mkdir(layer.c_str(), 0755) != 0) std::abort();
  crisp::LayerJob job;
  job.name = "layer";
  job.folder = layer;
  job.bounds = {.max_bytes = 1 << 20, .max_entries = 1000};
  job.read = [&](const auto& sink) { return sink({reinterpret_cast<const char*>(data), size}); };
  (void)crisp::UnpackLayer(job, crisp::Call{});
  if (!crisp::RemoveTree(layer).ok()) std::abort();
  const auto beside = crisp::ReadFile(scratch.folder + "/beside");
  if (!beside.ok() || *beside != "untouched") std::abort();
  return 0;
}
