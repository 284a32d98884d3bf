#include "image/test_registry.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "gtest/gtest.h"
#include "image/test_archive.h"
#include "registry/sha256.h"

extern char** environ;

namespace crisp {
namespace {

struct Upload {
  std::string_view rest;
};

size_t ReadUpload(char* buffer, size_t size, size_t count, void* context) {
  auto* upload = static_cast<Upload*>(context);
  const size_t take = std::min(size * count, upload->rest.size());
  std::memcpy(buffer, upload->rest.data(), take);
  upload->rest.remove_prefix(take);
  return take;
}

size_t KeepLocation(char* data, size_t size, size_t count, void* context) {
  const std::string_view line(data, size * count);
  if (line.starts_with("Location: ")) *static_cast<std::string*>(context) = Trim(line.substr(10));
  return size * count;
}

size_t DropBody(char*, size_t size, size_t count, void*) { return size * count; }

// One request; returns the status and the Location.
long Send(const std::string& method, const std::string& url, std::string_view body,
          const std::string& type, const std::string& user_password, std::string* location) {
  CURL* easy = curl_easy_init();
  Upload upload{body};
  curl_slist* headers = curl_slist_append(nullptr, "Expect:");
  if (!type.empty()) headers = curl_slist_append(headers, ("Content-Type: " + type).c_str());
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  if (method == "PUT") {
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, ReadUpload);
    curl_easy_setopt(easy, CURLOPT_READDATA, &upload);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(body.size()));
  } else {
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
  }
  if (!user_password.empty()) curl_easy_setopt(easy, CURLOPT_USERPWD, user_password.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, KeepLocation);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, location);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, DropBody);
  curl_easy_perform(easy);
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  curl_slist_free_all(headers);
  curl_easy_cleanup(easy);
  return status;
}

bool Listens(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool listens = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return listens;
}

}  // namespace

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

TestImage TestImage::Of(const std::vector<TestLayer>& layers, const std::string& config_extra) {
  TestImage image;
  Json diff_ids = Json::array(), descriptors = Json::array();
  for (const TestLayer& layer : layers) {
    std::string blob = layer.tar, suffix;
    if (layer.form == TestLayer::Form::kGzip) blob = Gzip(layer.tar), suffix = "+gzip";
    if (layer.form == TestLayer::Form::kZstd) blob = Zstd(layer.tar), suffix = "+zstd";
    diff_ids.push_back(Sha256::Of(layer.tar));
    descriptors.push_back({{"mediaType", "application/vnd.oci.image.layer.v1.tar" + suffix},
                           {"digest", Sha256::Of(blob)},
                           {"size", blob.size()}});
    image.blobs.push_back(std::move(blob));
  }
  Json config = {{"os", "linux"},
                 {"architecture", "amd64"},
                 {"rootfs", {{"type", "layers"}, {"diff_ids", diff_ids}}}};
  config["config"] = Json::parse(config_extra);
  image.config = config.dump();
  image.config_digest = Sha256::Of(image.config);
  const Json manifest = {{"schemaVersion", 2},
                         {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                         {"config",
                          {{"mediaType", "application/vnd.oci.image.config.v1+json"},
                           {"digest", image.config_digest},
                           {"size", image.config.size()}}},
                         {"layers", descriptors}};
  image.manifest = manifest.dump();
  image.manifest_digest = Sha256::Of(image.manifest);
  return image;
}

TestRegistry::TestRegistry(const std::string& extra) : port_(FreePort()) {
  char pattern[] = "/tmp/crisp-registry-test.XXXXXX";
  folder_ = mkdtemp(pattern);
  const std::string config = folder_ + "/config.yml";
  const std::string text =
      Cat("version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n"
          "  filesystem:\n    rootdirectory: ",
          folder_, "/data\nhttp:\n  addr: 127.0.0.1:", port_, "\n", extra);
  EXPECT_TRUE(ReplaceFile(config, text).ok());
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, (folder_ + "/log").c_str(), O_WRONLY | O_CREAT,
                                   0644);
  const char* argv[] = {"docker-registry", "serve", config.c_str(), nullptr};
  EXPECT_EQ(posix_spawn(&pid_, "/usr/bin/docker-registry", &actions, nullptr,
                        const_cast<char**>(argv), environ),
            0);
  posix_spawn_file_actions_destroy(&actions);
  for (int i = 0; i < 500 && !Listens(port_); ++i) usleep(20000);
}

TestRegistry::~TestRegistry() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  std::filesystem::remove_all(folder_);
}

std::string TestRegistry::address() const { return Cat("127.0.0.1:", port_); }

void TestRegistry::PushBlob(const std::string& repository, std::string_view blob) {
  std::string location;
  const long started =
      Send("POST", Cat("http://", address(), "/v2/", repository, "/blobs/uploads/"), "", "",
           user_password, &location);
  EXPECT_EQ(started, 202);
  std::string ignored;
  const char* joint = location.find('?') == std::string::npos ? "?" : "&";
  EXPECT_EQ(Send("PUT", Cat(location, joint, "digest=", Sha256::Of(blob)), blob,
                 "application/octet-stream", user_password, &ignored),
            201);
}

void TestRegistry::PushManifest(const std::string& repository, const std::string& reference,
                                std::string_view manifest, const std::string& media_type) {
  std::string ignored;
  EXPECT_EQ(Send("PUT", Cat("http://", address(), "/v2/", repository, "/manifests/", reference),
                 manifest, media_type, user_password, &ignored),
            201);
}

void TestRegistry::Push(const std::string& repository, const std::string& tag,
                        const TestImage& image) {
  PushBlob(repository, image.config);
  for (const std::string& blob : image.blobs) PushBlob(repository, blob);
  PushManifest(repository, tag, image.manifest, "application/vnd.oci.image.manifest.v1+json");
}

}  // namespace crisp
