#include "image/image_store.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/id.h"
#include "db/database.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "image/test_archive.h"
#include "image/test_registry.h"
#include "registry/sha256.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TestLayer Layer(const std::vector<TestEntry>& entries,
                TestLayer::Form form = TestLayer::Form::kGzip) {
  return {TarOfAll(entries), form};
}

class ImageStoreTest : public ::testing::Test {
 protected:
  ImageStoreTest() {
    char pattern[] = "/tmp/crisp-image-test.XXXXXX";
    root_ = mkdtemp(pattern);
    Open();
  }
  ~ImageStoreTest() override {
    store_.reset();
    database_.reset();
    std::filesystem::remove_all(root_);
  }
  void Open() {
    store_.reset();
    database_.reset();
    auto database = Database::Open(root_ + "/crisp.db");
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    auto store = ImageStore::Open(root_, *database_, options_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  absl::StatusOr<std::string> Pull(const std::string& name) {
    return store_->Pull({name, {}}, Call{});
  }
  std::string Name(const std::string& rest) const { return registry_.address() + "/" + rest; }
  std::vector<std::string> LayerFolders() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + "/layers"))
      names.push_back(entry.path().filename());
    return names;
  }

  std::string root_;
  ImageStoreOptions options_;
  TestRegistry registry_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<ImageStore> store_;
};

TEST_F(ImageStoreTest, PullsAnImageOfAllKindsOfLayers) {
  const TestImage image = TestImage::Of(
      {Layer({{"etc/", '5', "", "", 0755},
              {"etc/passwd", '0', "root:x:0:0::/root:/bin/sh\n"},
              {"gone", '0', "x"}}),
       Layer({{"etc/", '5', "", "", 0755}, {"etc/group", '0', "wheel:x:10:\n"}},
             TestLayer::Form::kZstd),
       Layer({{".wh.gone", '0'}, {"big", '0', std::string(3 << 20, 'b'), "", 04755, 7, 8}},
             TestLayer::Form::kPlain)},
      R"({"Cmd":["/bin/sh"]})");
  registry_.Push("team/app", "v1", image);
  const auto id = Pull(Name("team/app:v1"));
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*id, image.config_digest);
  const auto record = store_->Find(Name("team/app:v1"));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ((*record)->passwd, "root:x:0:0::/root:/bin/sh\n");
  EXPECT_EQ((*record)->group, "wheel:x:10:\n");
  EXPECT_EQ((*record)->config_json, image.config);
  EXPECT_THAT((*record)->repo_tags, ElementsAre(Name("team/app:v1")));
  EXPECT_THAT((*record)->repo_digests, ElementsAre(Name("team/app@") + image.manifest_digest));
  size_t size = image.config.size();
  for (const std::string& blob : image.blobs) size += blob.size();
  EXPECT_EQ((*record)->size, size);
  ASSERT_EQ((*record)->layer_folders.size(), 3u);
  struct stat info;
  ASSERT_EQ(lstat(((*record)->layer_folders[0] + "/gone").c_str(), &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode) && info.st_rdev == 0);
  ASSERT_EQ(lstat(((*record)->layer_folders[0] + "/big").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 04755u);
  EXPECT_EQ(info.st_uid, 7u);
  EXPECT_EQ(info.st_gid, 8u);
  EXPECT_EQ(info.st_size, 3 << 20);
  EXPECT_EQ(info.st_mtime, 1'600'000'000);
  EXPECT_GT(store_->Usage()->used_bytes, uint64_t{3} << 20);
}

TEST_F(ImageStoreTest, FindsByEveryNameAndForgetsAll) {
  const TestImage image = TestImage::Of({Layer({{"f", '0', "1"}})});
  registry_.Push("a", "1", image);
  registry_.Push("b", "2", image);
  ASSERT_TRUE(Pull(Name("a:1")).ok());
  ASSERT_TRUE(Pull(Name("b:2")).ok());
  ASSERT_TRUE(Pull(Name("b@") + image.manifest_digest).ok());
  EXPECT_EQ(store_->List().size(), 1u);
  const std::string hex = image.config_digest.substr(7);
  for (const std::string& name : {Name("a:1"), Name("b:2"), Name("a@") + image.manifest_digest,
                                  image.config_digest, hex, hex.substr(0, 12)}) {
    const auto found = store_->Find(name);
    ASSERT_TRUE(found.ok()) << name << found.status();
    EXPECT_EQ((*found)->id, image.config_digest);
  }
  EXPECT_THAT(store_->List()[0]->repo_tags, UnorderedElementsAre(Name("a:1"), Name("b:2")));
  EXPECT_EQ(store_->Find("busybox").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Find("").status().code(), absl::StatusCode::kInvalidArgument);
  Open();  // all of it survives a restart
  EXPECT_EQ(store_->List().size(), 1u);
  ASSERT_TRUE(store_->Remove(Name("b:2")).ok());
  EXPECT_THAT(store_->List(), IsEmpty());
  EXPECT_THAT(LayerFolders(), IsEmpty());
  EXPECT_TRUE(store_->Remove(Name("b:2")).ok());
}

TEST_F(ImageStoreTest, LeasedLayersOutliveTheirImage) {
  const TestImage image = TestImage::Of({Layer({{"f", '0', "1"}}), Layer({{"g", '0', "1"}})});
  registry_.Push("a", "1", image);
  ASSERT_TRUE(Pull(Name("a:1")).ok());
  const auto record = *store_->Find(Name("a:1"));
  ASSERT_TRUE(store_->Lease(record->id, "container-1").ok());
  EXPECT_EQ(store_->Lease("sha256:no", "container-1").code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(store_->Remove(record->id).ok());
  Open();
  EXPECT_EQ(LayerFolders().size(), 2u);
  EXPECT_THAT(*store_->Holders(), ElementsAre("container-1"));
  ASSERT_TRUE(store_->Release("container-1").ok());
  EXPECT_THAT(LayerFolders(), IsEmpty());
}

TEST_F(ImageStoreTest, SharedLayersAreFetchedOnceAndStayWhileNeeded) {
  const TestLayer base = Layer({{"base", '0', "1"}});
  const TestImage one = TestImage::Of({base, Layer({{"one", '0', "1"}})});
  const TestImage two = TestImage::Of({base, Layer({{"two", '0', "1"}}), base});
  registry_.Push("one", "1", one);
  registry_.Push("two", "1", two);
  std::thread other([&] { EXPECT_TRUE(Pull(Name("one:1")).ok()); });
  EXPECT_TRUE(Pull(Name("two:1")).ok());
  other.join();
  EXPECT_EQ(LayerFolders().size(), 3u);
  EXPECT_EQ((*store_->Find(Name("two:1")))->layer_folders.size(),
            2u);  // overlayfs refuses one twice
  ASSERT_TRUE(store_->Remove(Name("one:1")).ok());
  EXPECT_EQ(LayerFolders().size(), 2u);
}

TEST_F(ImageStoreTest, AMovedTagLeavesTheOldImageItsDigest) {
  const TestImage old_image = TestImage::Of({Layer({{"f", '0', "1"}})});
  const TestImage new_image = TestImage::Of({Layer({{"f", '0', "2"}})});
  registry_.Push("a", "1", old_image);
  ASSERT_TRUE(Pull(Name("a:1")).ok());
  registry_.Push("a", "1", new_image);
  ASSERT_EQ(*Pull(Name("a:1")), new_image.config_digest);
  const auto old_record = *store_->Find(old_image.config_digest);
  EXPECT_THAT(old_record->repo_tags, IsEmpty());
  EXPECT_EQ(old_record->repo_digests.size(), 1u);
}

TEST_F(ImageStoreTest, LeftoversOfACrashAreRemoved) {
  std::filesystem::create_directories(root_ + "/layers/77/deep/er");
  Open();
  EXPECT_THAT(LayerFolders(), IsEmpty());
}

TEST_F(ImageStoreTest, ErrorsNameTheImage) {
  const auto missing = Pull(Name("no/such:1"));
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound) << missing.status();
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("no/such:1"));
  const auto down = Pull("127.0.0.1:1/x:1");
  EXPECT_EQ(down.status().code(), absl::StatusCode::kUnknown) << down.status();
  EXPECT_THAT(std::string(down.status().message()), ::testing::StartsWith("RegistryUnavailable: "));
  EXPECT_EQ(Pull("UPPER").status().code(), absl::StatusCode::kInvalidArgument);
  Call hurried;
  hurried.deadline = absl::Now() + absl::Milliseconds(1);
  EXPECT_EQ(store_->Pull({"10.255.255.1/x:1", {}}, hurried).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ImageStoreTest, AWrongDiffIdLeavesNothing) {
  TestImage image = TestImage::Of({Layer({{"f", '0', "1"}}), Layer({{"g", '0', "1"}})});
  const std::string right = Sha256::Of(TarOfAll(std::vector<TestEntry>{{"g", '0', "1"}}));
  image.config.replace(image.config.find(right), right.size(), Sha256::Of("other"));
  const std::string digest = Sha256::Of(image.config);
  image.manifest.replace(image.manifest.find(image.config_digest), digest.size(), digest);
  registry_.Push("a", "1", image);
  const auto id = Pull(Name("a:1"));
  EXPECT_EQ(id.status().code(), absl::StatusCode::kDataLoss) << id.status();
  EXPECT_THAT(store_->List(), IsEmpty());
  EXPECT_THAT(LayerFolders(), IsEmpty());
}

}  // namespace
}  // namespace crisp
