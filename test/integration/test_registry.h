// TestRegistry: Debian's docker-registry on a loopback port with images that the tests push over
// HTTP. One for all tests of a program; started when first asked for.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "test/integration/registry_process.h"
#include "test/integration/test_folder.h"
#include "test/integration/test_image.h"

namespace crisp {

class TestRegistry {
 public:
  static TestRegistry& Get();
  TestRegistry(const TestRegistry&) = delete;

  // "127.0.0.1:port"; images are named after kHost, which the daemon's configuration mirrors here.
  const std::string& address() const { return process_.address(); }
  static constexpr const char* kHost = "registry.test";

  // Pushes the image as name ("repository:tag") and returns its manifest's digest.
  std::string Push(const std::string& name, const TestImage& image);
  // Makes an index of manifests pushed before. Each entry: digest, size and platform as JSON.
  std::string PushIndex(const std::string& name, const nlohmann::json& manifests);
  // Any manifest text at all; the registry itself must like it.
  std::string PushManifest(const std::string& name, const std::string& text,
                           const std::string& media_type);
  std::string PushBlob(const std::string& repository, const std::string& data);
  nlohmann::json ManifestEntry(const std::string& name) const;  // digest, size and media type

  // Replaces a blob's content behind the registry's back: from now on it lies.
  void Corrupt(const std::string& digest, const std::string& content);
  // Forgets the blob.
  void Lose(const std::string& digest);

  // The process, so that leak checks can leave it out.
  pid_t pid() const { return process_.pid(); }
  // Where its images lie, for another process that is to serve the same ones.
  std::string storage() const { return folder_ / "data"; }

 private:
  TestRegistry() = default;
  struct Answer {
    long status = 0;
    std::string body;
    std::string location;
  };
  Answer Send(const std::string& method, const std::string& path, const std::string& body,
              const std::string& media_type) const;
  std::string BlobPath(const std::string& digest) const;

  TestFolder folder_;
  RegistryProcess process_{storage()};
};

}  // namespace crisp
