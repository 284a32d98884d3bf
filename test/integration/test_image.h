// Images made by the tests: layers written entry by entry, also such as no honest tool would write,
// and the configuration above them. Plain data; not thread-safe while it is built.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"

struct archive;  // libarchive

namespace crisp {

std::string Sha256Digest(std::string_view data);  // "sha256:..."
std::string Gzip(std::string_view data);
std::string Zstd(std::string_view data);

// A tar archive in the making. Names are written as they are given.
class TestLayer {
 public:
  TestLayer();
  TestLayer(const TestLayer&) = delete;
  ~TestLayer();

  TestLayer& Folder(const std::string& name, mode_t mode = 0755, int uid = 0, int gid = 0);
  TestLayer& File(const std::string& name, std::string_view content, mode_t mode = 0644,
                  int uid = 0, int gid = 0);
  TestLayer& Symlink(const std::string& name, const std::string& target);
  TestLayer& HardLink(const std::string& name, const std::string& target);
  TestLayer& Device(const std::string& name, mode_t type_and_mode, int major, int minor);
  // A file whose header claims `size` bytes while the archive ends after `content`.
  TestLayer& LyingFile(const std::string& name, int64_t size, std::string_view content);

  // The archive; nothing can be added afterwards.
  std::string Tar();

 private:
  archive* writer_;
  std::string bytes_;
  std::string tail_;
};

enum class Packing { kPlain, kGzip, kZstd };

struct TestImage {
  struct Layer {
    std::string tar;
    Packing packing = Packing::kGzip;
  };
  std::vector<Layer> layers;  // lowest first
  nlohmann::json config = {{"Env", {"PATH=/usr/local/bin:/usr/bin:/bin:/sbin"}}, {"Cmd", {"sh"}}};
  nlohmann::json annotations = nlohmann::json::object();  // of the manifest
  bool docker = false;  // media types of Docker's schema 2, not OCI's
  // What the manifest and the configuration say instead of the truth, by layer; empty: the truth.
  std::vector<std::string> claimed_diff_ids;

  TestImage& Add(std::string tar, Packing packing = Packing::kGzip) {
    layers.push_back({std::move(tar), packing});
    return *this;
  }
};

// One layer with the host's static busybox under all its names, passwd and group, /tmp and /www.
const std::string& BusyboxTar();
// An image of it.
TestImage BusyboxImage();

}  // namespace crisp
