// For tests: Debian's docker-registry on a loopback port of its own, filled by HTTP as any client
// would, and images made of layers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "registry/registry_options.h"

namespace crisp {

struct TestLayer {
  std::string tar;
  enum class Form { kGzip, kZstd, kPlain } form = Form::kGzip;
};

struct TestImage {
  std::string config;         // JSON
  std::string config_digest;  // the image's id
  std::vector<std::string> blobs;
  std::string manifest;  // OCI
  std::string manifest_digest;

  static TestImage Of(const std::vector<TestLayer>& layers, const std::string& config_extra = "{}");
};

class TestRegistry {
 public:
  // Starts it; `extra` is YAML for its configuration (auth, tls). Waits until it listens.
  explicit TestRegistry(const std::string& extra = "");
  ~TestRegistry();

  std::string address() const;  // "127.0.0.1:<port>"
  const std::string& folder() const { return folder_; }
  void PushBlob(const std::string& repository, std::string_view blob);
  void PushManifest(const std::string& repository, const std::string& reference,
                    std::string_view manifest, const std::string& media_type);
  void Push(const std::string& repository, const std::string& tag, const TestImage& image);

  std::string user_password;  // "user:password" for pushes

 private:
  std::string folder_;
  int port_ = 0;
  int pid_ = -1;
};

// A free TCP port on the loopback.
int FreePort();

}  // namespace crisp
