#include "test/integration/test_registry.h"

#include <curl/curl.h>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/text.h"

namespace crisp {

using nlohmann::json;

namespace {

constexpr char kOciManifest[] = "application/vnd.oci.image.manifest.v1+json";
constexpr char kOciIndex[] = "application/vnd.oci.image.index.v1+json";
constexpr char kDockerManifest[] = "application/vnd.docker.distribution.manifest.v2+json";

size_t Collect(char* data, size_t size, size_t count, void* text) {
  static_cast<std::string*>(text)->append(data, size * count);
  return size * count;
}

std::string LayerMediaType(bool docker, Packing packing) {
  if (docker) {
    return packing == Packing::kPlain ? "application/vnd.docker.image.rootfs.diff.tar"
                                      : "application/vnd.docker.image.rootfs.diff.tar.gzip";
  }
  const std::string base = "application/vnd.oci.image.layer.v1.tar";
  return packing == Packing::kGzip   ? base + "+gzip"
         : packing == Packing::kZstd ? base + "+zstd"
                                     : base;
}

std::string Packed(const TestImage::Layer& layer) {
  switch (layer.packing) {
    case Packing::kGzip:
      return Gzip(layer.tar);
    case Packing::kZstd:
      return Zstd(layer.tar);
    case Packing::kPlain:
      break;
  }
  return layer.tar;
}

std::string Architecture() {
#if defined(__aarch64__)
  return "arm64";
#else
  return "amd64";
#endif
}

}  // namespace

TestRegistry& TestRegistry::Get() {
  static TestRegistry registry;
  return registry;
}

TestRegistry::Answer TestRegistry::Send(const std::string& method, const std::string& path,
                                        const std::string& body,
                                        const std::string& media_type) const {
  Answer answer;
  CURL* curl = curl_easy_init();
  const std::string url = absl::StartsWith(path, "http") ? path : Cat("http://", address(), path);
  curl_slist* headers = curl_slist_append(nullptr, Cat("Content-Type: ", media_type).c_str());
  headers = curl_slist_append(headers, "Expect:");
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method.c_str());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Collect);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
  std::string head;
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, Collect);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &head);
  const CURLcode code = curl_easy_perform(curl);
  if (code != CURLE_OK) Die(Cat(method, " ", url, ": ", curl_easy_strerror(code)));
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  for (const std::string_view line : SplitWords(head, '\n')) {
    if (absl::StartsWithIgnoreCase(ToAbsl(line), "location:"))
      answer.location = Trim(line.substr(9));
  }
  return answer;
}

std::string TestRegistry::PushBlob(const std::string& repository, const std::string& data) {
  const std::string digest = Sha256Digest(data);
  const Answer place = Send("POST", Cat("/v2/", repository, "/blobs/uploads/"), "", "text/plain");
  const char* joint = absl::StrContains(place.location, "?") ? "&" : "?";
  const Answer done =
      Send("PUT", Cat(place.location, joint, "digest=", digest), data, "application/octet-stream");
  if (done.status != 201) Die(Cat("blob of ", repository, ": ", done.status, " ", done.body));
  return digest;
}

std::string TestRegistry::PushManifest(const std::string& name, const std::string& text,
                                       const std::string& media_type) {
  const size_t colon = name.rfind(':');
  const Answer done =
      Send("PUT", Cat("/v2/", name.substr(0, colon), "/manifests/", name.substr(colon + 1)), text,
           media_type);
  if (done.status != 201) Die(Cat("manifest ", name, ": ", done.status, " ", done.body));
  return Sha256Digest(text);
}

std::string TestRegistry::Push(const std::string& name, const TestImage& image) {
  const std::string repository = name.substr(0, name.rfind(':'));
  json config = {{"architecture", Architecture()},
                 {"os", "linux"},
                 {"config", image.config},
                 {"rootfs", {{"type", "layers"}, {"diff_ids", json::array()}}}};
  json layers = json::array();
  for (size_t i = 0; i < image.layers.size(); ++i) {
    const std::string packed = Packed(image.layers[i]);
    layers.push_back({{"mediaType", LayerMediaType(image.docker, image.layers[i].packing)},
                      {"digest", PushBlob(repository, packed)},
                      {"size", packed.size()}});
    config["rootfs"]["diff_ids"].push_back(i < image.claimed_diff_ids.size()
                                               ? image.claimed_diff_ids[i]
                                               : Sha256Digest(image.layers[i].tar));
  }
  const std::string config_text = config.dump();
  const std::string media_type = image.docker ? kDockerManifest : kOciManifest;
  json manifest = {{"schemaVersion", 2},
                   {"mediaType", media_type},
                   {"config",
                    {{"mediaType", image.docker ? "application/vnd.docker.container.image.v1+json"
                                                : "application/vnd.oci.image.config.v1+json"},
                     {"digest", PushBlob(repository, config_text)},
                     {"size", config_text.size()}}},
                   {"layers", layers}};
  if (!image.annotations.empty()) manifest["annotations"] = image.annotations;
  return PushManifest(name, manifest.dump(), media_type);
}

std::string TestRegistry::PushIndex(const std::string& name, const json& manifests) {
  const json index = {{"schemaVersion", 2}, {"mediaType", kOciIndex}, {"manifests", manifests}};
  return PushManifest(name, index.dump(), kOciIndex);
}

json TestRegistry::ManifestEntry(const std::string& name) const {
  const size_t colon = name.rfind(':');
  Answer answer;
  CURL* curl = curl_easy_init();
  const std::string url = Cat("http://", address(), "/v2/", name.substr(0, colon), "/manifests/",
                              name.substr(colon + 1));
  curl_slist* headers =
      curl_slist_append(nullptr, Cat("Accept: ", kOciManifest, ", ", kDockerManifest).c_str());
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Collect);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
  curl_easy_perform(curl);
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  return {{"mediaType", json::parse(answer.body)["mediaType"]},
          {"digest", Sha256Digest(answer.body)},
          {"size", answer.body.size()}};
}

std::string TestRegistry::BlobPath(const std::string& digest) const {
  const std::string hex = digest.substr(7);
  return Cat(folder_ / "data/docker/registry/v2/blobs/sha256/", hex.substr(0, 2), "/", hex,
             "/data");
}

void TestRegistry::Corrupt(const std::string& digest, const std::string& content) {
  if (!PathExists(BlobPath(digest))) Die(Cat("no blob ", digest));
  (void)ReplaceFile(BlobPath(digest), content);
}

void TestRegistry::Lose(const std::string& digest) {
  if (!PathExists(BlobPath(digest))) Die(Cat("no blob ", digest));
  (void)RemoveFile(BlobPath(digest));
}

}  // namespace crisp
