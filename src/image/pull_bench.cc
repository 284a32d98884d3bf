// Measures pulls: makes an image of LAYERS gzip layers with MIB of files in all, puts it into a
// docker-registry on the loopback, and pulls it ROUNDS times into an empty store.
//   tools/private-namespaces build/release/bin/pull_bench [FOLDER [MIB [LAYERS [ROUNDS
//   [gzip|zstd|plain]]]]]
// The files' content is half text-like and half random, so that it compresses about two to one.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "base/file.h"
#include "base/text.h"
#include "db/database.h"
#include "image/image_store.h"
#include "image/test_archive.h"
#include "image/test_registry.h"

namespace crisp {
namespace {

std::string Content(std::mt19937_64& random, size_t size) {
  static const char* const kWords[] = {"container ", "layer ", "kernel ", "return ",
                                       "static ",    "\n",     "0x00 ",   "namespace "};
  std::string content;
  content.reserve(size + 16);
  while (content.size() < size) {
    const uint64_t number = random();
    if ((content.size() >> 12) & 1) {
      content.append(reinterpret_cast<const char*>(&number), sizeof number);
    } else {
      content += kWords[number & 7];
    }
  }
  content.resize(size);
  return content;
}

// Files of 4 KiB to 4 MiB, as in a distribution's image.
std::string LayerOf(std::mt19937_64& random, size_t bytes, int layer) {
  std::string tar;
  for (int i = 0; bytes > 0; ++i) {
    const size_t size = std::min<size_t>(bytes, size_t{4096} << (random() % 11));
    if (i % 20 == 0) tar += TarOf({Cat("l", layer, "/d", i / 20, "/"), '5', "", "", 0755});
    tar += TarOf({Cat("l", layer, "/d", i / 20, "/f", i), '0', Content(random, size)});
    bytes -= size;
  }
  return tar + TarEnd();
}

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
         (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int Run(const std::string& folder, size_t mib, int layers, int rounds, const std::string& form) {
  std::mt19937_64 random(1);
  std::vector<TestLayer> made;
  for (int i = 0; i < layers; ++i) {
    made.push_back(
        {LayerOf(random, (mib << 20) / layers, i), form == "zstd"    ? TestLayer::Form::kZstd
                                                   : form == "plain" ? TestLayer::Form::kPlain
                                                                     : TestLayer::Form::kGzip});
  }
  const TestImage image = TestImage::Of(made);
  size_t compressed = 0;
  for (const std::string& blob : image.blobs) compressed += blob.size();
  TestRegistry registry;
  registry.Push("bench/image", "1", image);
  made.clear();
  std::printf("%zu MiB in %d layers, %zu MiB compressed (%s)\n", mib, layers, compressed >> 20,
              form.c_str());
  std::vector<double> seconds;
  for (int round = 0; round < rounds; ++round) {
    const std::string root = Cat(folder, "/round", round);
    std::filesystem::remove_all(root);
    if (!MakeFolders(root).ok()) return 1;
    auto database = Database::Open(root + "/crisp.db");
    if (!database.ok()) return 1;
    ImageStoreOptions options;
    if (const char* parallel = getenv("PARALLEL")) options.parallel_layers = atoi(parallel);
    auto store = ImageStore::Open(root, **database, options);
    if (!store.ok()) return 1;
    const double cpu = CpuSeconds();
    const absl::Time start = absl::Now();
    const auto id = (*store)->Pull({Cat(registry.address(), "/bench/image:1"), {}}, Call{});
    seconds.push_back(absl::ToDoubleSeconds(absl::Now() - start));
    std::printf("round %d: %.3f s, cpu %.3f s%s\n", round, seconds.back(), CpuSeconds() - cpu,
                id.ok() ? "" : Cat(" FAILED: ", id.status().ToString()).c_str());
    store->reset();
    std::filesystem::remove_all(root);
  }
  std::sort(seconds.begin(), seconds.end());
  std::printf("median %.3f s\n", seconds[seconds.size() / 2]);
  return 0;
}

}  // namespace
}  // namespace crisp

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "/tmp/crisp-pull-bench";
  return crisp::Run(folder, argc > 2 ? atoi(argv[2]) : 200, argc > 3 ? atoi(argv[3]) : 4,
                    argc > 4 ? atoi(argv[4]) : 5, argc > 5 ? argv[5] : "gzip");
}
