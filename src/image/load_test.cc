#include <stdlib.h>

#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "db/database.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "image/image_store.h"
#include "image/test_archive.h"
#include "image/test_registry.h"
#include "registry/manifest.h"
#include "registry/sha256.h"

namespace crisp {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LoadTest : public ::testing::Test {
 protected:
  LoadTest() {
    char pattern[] = "/tmp/crisp-load-test.XXXXXX";
    root_ = mkdtemp(pattern);
    database_ = *Database::Open(root_ + "/crisp.db");
    store_ = *ImageStore::Open(root_, *database_, {});
  }
  ~LoadTest() override {
    store_.reset();
    fs::remove_all(root_);
  }
  static TestImage Image(const std::string& text = "1") {
    return TestImage::Of({{TarOfAll(std::vector<TestEntry>{{"etc/passwd", '0', "root:" + text}})},
                          {TarOfAll(std::vector<TestEntry>{{"f", '0', text}})}});
  }
  static std::string Blob(const std::string& digest) { return "blobs/sha256/" + digest.substr(7); }
  // The files of an OCI layout.
  static std::map<std::string, std::string> Layout(
      const std::vector<std::pair<TestImage, Json>>& images) {
    std::map<std::string, std::string> files = {
        {"oci-layout", R"({"imageLayoutVersion":"1.0.0"})"}};
    Json manifests = Json::array();
    for (const auto& [image, annotations] : images) {
      for (const std::string& blob : image.blobs) files[Blob(Sha256::Of(blob))] = blob;
      files[Blob(image.config_digest)] = image.config;
      files[Blob(image.manifest_digest)] = image.manifest;
      manifests.push_back({{"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                           {"digest", image.manifest_digest},
                           {"size", image.manifest.size()},
                           {"annotations", annotations}});
    }
    files["index.json"] = Json{{"schemaVersion", 2}, {"manifests", manifests}}.dump();
    return files;
  }
  std::string WriteFolder(const std::map<std::string, std::string>& files) {
    const std::string folder = Cat(root_, "/archive", ++count_);
    for (const auto& [name, content] : files) {
      EXPECT_TRUE(MakeFolders(FolderOf(folder + "/" + name)).ok());
      EXPECT_TRUE(ReplaceFile(folder + "/" + name, content).ok());
    }
    return folder;
  }
  std::string WriteTar(const std::map<std::string, std::string>& files, bool gzip = false) {
    std::string tar;
    for (const auto& [name, content] : files) tar += TarOf({name, '0', content});
    tar += TarEnd();
    const std::string path = Cat(root_, "/archive", ++count_, ".tar");
    EXPECT_TRUE(ReplaceFile(path, gzip ? Gzip(tar) : tar).ok());
    return path;
  }
  absl::StatusOr<std::vector<LoadedImage>> Load(const std::string& path,
                                                const std::string& name = "") {
    return store_->Load(path, name, Call{});
  }

  std::string root_;
  int count_ = 0;
  std::unique_ptr<Database> database_;
  std::unique_ptr<ImageStore> store_;
};

TEST_F(LoadTest, AnOciLayoutAsFolderAndTar) {
  const TestImage image = Image();
  const auto files =
      Layout({{image, {{"org.opencontainers.image.ref.name", "registry.test/app:v1"}}}});
  for (const std::string& path : {WriteFolder(files), WriteTar(files), WriteTar(files, true)}) {
    std::vector<LayerProgress> last;
    const auto loaded = store_->Load(
        path, "", Call{}, [&](const std::vector<LayerProgress>& layers) { last = layers; });
    ASSERT_TRUE(loaded.ok()) << path << loaded.status();
    ASSERT_EQ(loaded->size(), 1u);
    EXPECT_EQ((*loaded)[0].id, image.config_digest);
    EXPECT_THAT((*loaded)[0].names, ElementsAre("registry.test/app:v1"));
    EXPECT_EQ(last.size(), 2u);
    const auto record = *store_->Find("registry.test/app:v1");
    EXPECT_EQ(record->passwd, "root:1");
    EXPECT_THAT(record->repo_digests, ElementsAre("registry.test/app@" + image.manifest_digest));
    ASSERT_TRUE(store_->Remove(record->id).ok());
  }
}

TEST_F(LoadTest, TheCallersNameWinsAndTagsAreCompleted) {
  const auto tagged =
      WriteFolder(Layout({{Image(), {{"org.opencontainers.image.ref.name", "v7"}}}}));
  EXPECT_THAT((*Load(tagged))[0].names, IsEmpty());
  EXPECT_THAT((*Load(tagged, "app"))[0].names, ElementsAre("docker.io/library/app:latest"));
  const auto two =
      WriteFolder(Layout({{Image("1"), {{"org.opencontainers.image.ref.name", "v1"}}},
                          {Image("2"), {{"org.opencontainers.image.ref.name", "v2"}}}}));
  const auto loaded = Load(two, "app");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT((*loaded)[1].names, ElementsAre("docker.io/library/app:v2"));
  EXPECT_EQ(Load(two, "BAD NAME").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(LoadTest, TakesThisMachinesPlatform) {
  const TestImage ours = Image("ours"), other = Image("other");
  auto files = Layout({{ours, Json::object()}, {other, Json::object()}});
  Json index = Json::parse(files["index.json"]);
  const std::string here = Platform::OfThisMachine().architecture;
  index["manifests"][0]["platform"] = {{"os", "linux"}, {"architecture", here}};
  index["manifests"][1]["platform"] = {{"os", "linux"},
                                       {"architecture", here == "s390x" ? "amd64" : "s390x"}};
  files["index.json"] = index.dump();
  const auto loaded = Load(WriteFolder(files));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->size(), 1u);
  EXPECT_EQ((*loaded)[0].id, ours.config_digest);
}

TEST_F(LoadTest, ADockerSaveArchive) {
  const std::string one = TarOfAll(std::vector<TestEntry>{{"one", '0', "1"}}),
                    two = TarOfAll(std::vector<TestEntry>{{"two", '0', "2"}});
  const TestImage image = TestImage::Of({{one}, {two}});
  const std::string config_name = image.config_digest.substr(7) + ".json";
  const Json manifest = Json::array({{{"Config", config_name},
                                      {"RepoTags", {"app:1", "team/app:2"}},
                                      {"Layers", {"a/layer.tar", "b/layer.tar"}}}});
  const std::map<std::string, std::string> files = {{config_name, image.config},
                                                    {"manifest.json", manifest.dump()},
                                                    {"a/layer.tar", one},
                                                    {"b/layer.tar", two}};
  const auto loaded = Load(WriteTar(files));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT((*loaded)[0].names, ElementsAre("docker.io/library/app:1", "docker.io/team/app:2"));
  EXPECT_EQ((*store_->Find("app:1"))->id, image.config_digest);
  auto wrong = files;
  wrong["b/layer.tar"] = one;
  ASSERT_TRUE(store_->Remove("app:1").ok());
  EXPECT_EQ(Load(WriteTar(wrong)).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(store_->List(), IsEmpty());
}

TEST_F(LoadTest, BadArchivesAreNamed) {
  using Code = absl::StatusCode;
  EXPECT_EQ(Load(root_ + "/none").status().code(), Code::kNotFound);
  EXPECT_EQ(Load("/dev/null").status().code(), Code::kInvalidArgument);
  const auto empty = Load(WriteFolder({{"x", ""}}));
  EXPECT_EQ(empty.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(std::string(empty.status().message()), HasSubstr("neither index.json"));
  auto files = Layout({{Image(), Json::object()}});
  const std::string blob = Image().blobs[0];
  files[Blob(Sha256::Of(blob))] += "x";
  EXPECT_EQ(Load(WriteFolder(files)).status().code(), Code::kDataLoss);
  files.erase(Blob(Sha256::Of(blob)));
  EXPECT_EQ(Load(WriteFolder(files)).status().code(), Code::kNotFound);
  const Json climbing =
      Json::array({{{"Config", "../../../../etc/passwd"}, {"Layers", Json::array()}}});
  EXPECT_FALSE(Load(WriteFolder({{"manifest.json", climbing.dump()}})).ok());
  EXPECT_FALSE(Load(WriteTar({{"manifest.json", climbing.dump()}})).ok());
  EXPECT_THAT(store_->List(), IsEmpty());
  EXPECT_TRUE(fs::is_empty(root_ + "/layers"));
}

}  // namespace
}  // namespace crisp
