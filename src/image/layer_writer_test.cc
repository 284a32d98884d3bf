#include "image/layer_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <filesystem>

#include "base/file.h"
#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "image/layer_pipeline.h"
#include "image/test_archive.h"
#include "registry/sha256.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

class LayerTest : public ::testing::Test {
 protected:
  LayerTest() {
    char pattern[] = "/tmp/crisp-layer-test.XXXXXX";
    folder_ = mkdtemp(pattern);
    layer_ = folder_ + "/layer";
    EXPECT_TRUE(MakeFolders(layer_).ok());
    outside_ = folder_ + "/outside";
    EXPECT_TRUE(ReplaceFile(outside_, "untouched").ok());
  }
  ~LayerTest() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<UnpackedLayer> UnpackBytes(const std::string& blob, const std::string& tar) {
    LayerJob job{"layer", Sha256::Of(tar), layer_, bounds_,
                 [&](const auto& sink) { return sink(blob); }};
    return UnpackLayer(job, Call{});
  }
  absl::StatusOr<UnpackedLayer> Unpack(const std::vector<TestEntry>& entries) {
    const std::string tar = TarOfAll(entries);
    return UnpackBytes(tar, tar);
  }
  void ExpectRefused(const std::vector<TestEntry>& entries, absl::StatusCode code,
                     const std::string& words) {
    const auto layer = Unpack(entries);
    EXPECT_EQ(layer.status().code(), code) << layer.status();
    EXPECT_THAT(std::string(layer.status().message()), HasSubstr(words));
    EXPECT_EQ(*ReadFile(outside_), "untouched");
    EXPECT_FALSE(PathExists(folder_ + "/escaped"));
  }
  struct stat Stat(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(lstat((layer_ + "/" + path).c_str(), &info), 0) << path;
    return info;
  }
  bool Opaque(const std::string& path) {
    char value[8];
    return getxattr((layer_ + "/" + path).c_str(), "trusted.overlay.opaque", value, sizeof value) ==
               1 &&
           value[0] == 'y';
  }
  bool Whiteout(const std::string& path) {
    const struct stat info = Stat(path);
    return S_ISCHR(info.st_mode) && info.st_rdev == 0;
  }

  std::string folder_, layer_, outside_;
  LayerBounds bounds_;
};

TEST_F(LayerTest, WritesEveryKindOfEntry) {
  const auto layer = Unpack({{"./", '5', "", "", 0711, 1, 2},
                             {"d/", '5', "", "", 01777, 3, 4, 1'500'000'000},
                             {"d/file", '0', "content", "", 06755, 5, 6},
                             {"d/empty", '0'},
                             {"d/hard", '1', "", "d/file"},
                             {"d/soft", '2', "", "../../../etc/passwd", 0777, 7, 8},
                             {"d/fifo", '6', "", "", 0640},
                             {"d/char", '3', "", "", 0666, 0, 0, 5, 1, 3},
                             {"d/block", '4', "", "", 0660, 0, 6, 5, 7, 0}});
  ASSERT_TRUE(layer.ok()) << layer.status();
  EXPECT_EQ(layer->bytes, 7u);
  EXPECT_EQ(Stat("").st_mode & 07777, 0711u);
  EXPECT_EQ(Stat("").st_gid, 2u);
  EXPECT_EQ(Stat("d").st_mode & 07777, 01777u);
  EXPECT_EQ(Stat("d").st_mtime, 1'500'000'000);
  EXPECT_EQ(Stat("d/file").st_mode & 07777, 06755u);
  EXPECT_EQ(Stat("d/file").st_uid, 5u);
  EXPECT_EQ(Stat("d/file").st_nlink, 2u);
  EXPECT_EQ(Stat("d/file").st_ino, Stat("d/hard").st_ino);
  EXPECT_TRUE(S_ISLNK(Stat("d/soft").st_mode));
  EXPECT_EQ(Stat("d/soft").st_uid, 7u);
  EXPECT_EQ(std::filesystem::read_symlink(layer_ + "/d/soft"), "../../../etc/passwd");
  EXPECT_TRUE(S_ISFIFO(Stat("d/fifo").st_mode));
  EXPECT_EQ(Stat("d/char").st_rdev, makedev(1, 3));
  EXPECT_EQ(Stat("d/char").st_mode & 07777, 0666u);
  EXPECT_TRUE(S_ISBLK(Stat("d/block").st_mode));
}

TEST_F(LayerTest, KeepsNamesTimesAndAttributesAsPaxHasThem) {
  const std::string name = "e\xcc\x81-nfd-\xff-no-utf8";
  const std::string long_name = "deep/" + std::string(200, 'n');
  const std::string capability(
      "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  ASSERT_TRUE(Unpack({{"short",
                       '0',
                       "x",
                       "",
                       0755,
                       0,
                       0,
                       0,
                       0,
                       0,
                       {{"path", name},
                        {"mtime", "1234567890.987654321"},
                        {"uid", "70000"},
                        {"SCHILY.xattr.user.note", std::string("a\0b", 3)},
                        {"SCHILY.xattr.security.capability", capability},
                        {"SCHILY.xattr.trusted.overlay.redirect", "/etc"},
                        {"SCHILY.xattr.user.overlay.opaque", "y"},
                        {"SCHILY.xattr.security.selinux", "evil"}}},
                      {long_name, '0', "y"}})
                  .ok());
  const struct stat info = Stat(name);
  EXPECT_EQ(info.st_mtim.tv_sec, 1234567890);
  EXPECT_EQ(info.st_mtim.tv_nsec, 987654321);
  EXPECT_EQ(info.st_uid, 70000u);
  const std::string path = layer_ + "/" + name;
  char value[64];
  EXPECT_EQ(getxattr(path.c_str(), "security.capability", value, sizeof value), 20);
  EXPECT_LT(getxattr(path.c_str(), "trusted.overlay.redirect", value, sizeof value), 0);
  EXPECT_LT(getxattr(path.c_str(), "user.overlay.opaque", value, sizeof value), 0);
  Stat(long_name);
}

TEST_F(LayerTest, WhiteoutsTakeOverlaysForm) {
  const auto layer = Unpack({{"a/.wh.gone", '0'},
                             {"b/.wh..wh..opq", '0'},
                             {"c/.wh..wh.plnk", '0'},
                             {"d/keep", '0', "x"},
                             {"d/.wh.keep", '0'},
                             {"e/", '5', "", "", 0755},
                             {".wh.e", '0'},
                             {".wh.f", '0'},
                             {"f/", '5', "", "", 0755},
                             {"f/x", '0'},
                             {".wh.g", '0'},
                             {"g/deep/x", '0'}});
  ASSERT_TRUE(layer.ok()) << layer.status();
  EXPECT_TRUE(Whiteout("a/gone"));
  EXPECT_TRUE(Opaque("b"));
  EXPECT_FALSE(PathExists(layer_ + "/b/.wh..wh..opq"));
  EXPECT_TRUE(std::filesystem::is_empty(layer_ + "/c"));
  EXPECT_TRUE(
      S_ISREG(Stat("d/keep").st_mode));  // a whiteout hides what is below, not its own layer's
  EXPECT_TRUE(Opaque("e"));
  EXPECT_TRUE(Opaque("f"));
  EXPECT_TRUE(Opaque("g"));
  Stat("g/deep/x");
  EXPECT_THAT(layer->implied_folders, ::testing::ElementsAre("a", "b", "c", "d", "g", "g/deep"));
}

TEST_F(LayerTest, LaterEntriesReplaceEarlierOnes) {
  ASSERT_TRUE(Unpack({{"a", '0', "1"},
                      {"a", '0', "22"},
                      {"b/", '5', "", "", 0755},
                      {"b/x", '0'},
                      {"b", '0', "file"},
                      {"c", '0'},
                      {"c/", '5', "", "", 0700},
                      {"c/y", '0', "z"},
                      {"d", '2', "", "c"},
                      {"d", '0', "was a link"},
                      {"e", '1', "", "a"},
                      {"e", '1', "", "c/y"}})
                  .ok());
  EXPECT_EQ(*ReadFile(layer_ + "/a"), "22");
  EXPECT_EQ(*ReadFile(layer_ + "/b"), "file");
  EXPECT_EQ(*ReadFile(layer_ + "/c/y"), "z");
  EXPECT_EQ(*ReadFile(layer_ + "/d"), "was a link");
  EXPECT_EQ(*ReadFile(layer_ + "/e"), "z");
}

TEST_F(LayerTest, LinksOnTheWayAreResolvedInsideTheLayer) {
  ASSERT_TRUE(Unpack({{"usr/lib/", '5', "", "", 0755},
                      {"lib", '2', "", "/usr/lib"},
                      {"lib/x", '0', "in usr/lib"},
                      {"up", '2', "", "../../.."},
                      {"up/y", '0', "at the root"}})
                  .ok());
  EXPECT_EQ(*ReadFile(layer_ + "/usr/lib/x"), "in usr/lib");
  EXPECT_EQ(*ReadFile(layer_ + "/y"), "at the root");
}

TEST_F(LayerTest, NothingLeadsOut) {
  using Code = absl::StatusCode;
  ExpectRefused({{"../escaped", '0', "x"}}, Code::kInvalidArgument, "..");
  ExpectRefused({{"a/../../escaped", '0', "x"}}, Code::kInvalidArgument, "..");
  ExpectRefused({{"l", '1', "", "../outside"}}, Code::kInvalidArgument, "..");
  ExpectRefused({{"l1", '1', "", "/etc/passwd"}}, Code::kNotFound, "etc");
  ExpectRefused({{"x/.wh...", '0'}}, Code::kInvalidArgument, "whiteout");
  ExpectRefused({{"x/.wh..", '0'}}, Code::kInvalidArgument, "whiteout");
  ExpectRefused({{"x/.wh.", '0'}}, Code::kInvalidArgument, "whiteout");
  ExpectRefused({{"./", '2', "", "/etc"}}, Code::kInvalidArgument, "root");
  ExpectRefused({{"file", '0'}, {"file/below", '0'}}, Code::kInvalidArgument, "no folder");
  ExpectRefused({{"s", '2', "", "/no/such"}, {"s/below", '0'}}, Code::kInvalidArgument,
                "no folder");
  ExpectRefused({{"loop", '2', "", "loop"}, {"loop/below", '0'}}, Code::kInvalidArgument,
                "symbolic links");
  ExpectRefused({{"proc", '2', "", "/proc/self/root"}, {"proc/escaped", '0'}},
                Code::kInvalidArgument, "symbolic links");
  // Links to the outside are kept as they are, and never followed.
  ASSERT_TRUE(Unpack({{"abs", '2', "", outside_}, {"abs", '0', "replaced, not followed"}}).ok());
  EXPECT_EQ(*ReadFile(outside_), "untouched");
  const auto through = Unpack({{"dir", '2', "", folder_}, {"dir/outside", '0', "x"}});
  EXPECT_FALSE(through.ok());
  EXPECT_EQ(*ReadFile(outside_), "untouched");
}

TEST_F(LayerTest, SizesAreBounded) {
  using Code = absl::StatusCode;
  bounds_.max_entries = 3;
  ExpectRefused({{"1", '0'}, {"2", '0'}, {"3", '0'}, {"4", '0'}}, Code::kResourceExhausted,
                "more than 3 entries");
  ExpectRefused({{"a/b/c/d/e/f", '0'}}, Code::kResourceExhausted, "more than 3 entries");
  bounds_.max_bytes = 1 << 20;
  TestEntry lying{"big", '0', "x"};
  lying.lying_size = int64_t{1} << 33;
  ExpectRefused({lying}, Code::kResourceExhausted, "more than 1048576 bytes");
  // A bomb: one gigabyte in a megabyte.
  const std::string bomb = Gzip(std::string(64 << 20, 0), 9);
  const auto layer = UnpackBytes(bomb, "");
  EXPECT_FALSE(layer.ok());
  const std::string tar = TarOf({"f", '0', std::string(2 << 20, 'x')}) + TarEnd();
  EXPECT_EQ(UnpackBytes(Gzip(tar), tar).status().code(), Code::kResourceExhausted);
  // The same behind the archive's end.
  const std::string behind = TarEnd() + std::string(2 << 20, 0);
  EXPECT_EQ(UnpackBytes(Gzip(behind), behind).status().code(), Code::kResourceExhausted);
}

TEST_F(LayerTest, DamagedArchivesAreNamed) {
  using Code = absl::StatusCode;
  const std::string tar = TarOf({"f", '0', "content"}) + TarEnd();
  const auto code = [&](const std::string& blob, const std::string& plain) {
    return UnpackBytes(blob, plain).status().code();
  };
  EXPECT_EQ(code(tar.substr(0, 700), tar.substr(0, 700)), Code::kDataLoss);
  EXPECT_EQ(code(tar.substr(0, 100), tar.substr(0, 100)), Code::kDataLoss);
  std::string wrong = tar;
  wrong[0] = 'g';
  EXPECT_EQ(code(wrong, wrong), Code::kInvalidArgument);
  EXPECT_EQ(code(tar, "another"), Code::kDataLoss);
  const std::string gzip = Gzip(tar), zstd = Zstd(tar);
  EXPECT_EQ(code(gzip.substr(0, gzip.size() - 9), tar), Code::kDataLoss);
  EXPECT_EQ(code(zstd.substr(0, zstd.size() - 3), tar), Code::kDataLoss);
  std::string flipped = gzip;
  flipped[flipped.size() - 6] ^= 1;  // the checksum
  EXPECT_EQ(code(flipped, tar), Code::kDataLoss);
  EXPECT_EQ(code(gzip + "rubbish", tar), Code::kDataLoss);
  TestEntry negative{"f"};
  negative.pax["size"] = "-1";
  EXPECT_EQ(Unpack({negative}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Unpack({{"f", 'Z'}}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Unpack({{"f", 'S'}}).status().code(), Code::kUnimplemented);
}

TEST_F(LayerTest, ReadsEveryCompressionAlsoInSeveralParts) {
  const std::string tar = TarOf({"f", '0', std::string(3 << 20, 'q')}) + TarEnd();
  const size_t half = tar.size() / 2 + 17;
  const std::string first = tar.substr(0, half), second = tar.substr(half);
  const std::string skippable("\x50\x2a\x4d\x18\x04\x00\x00\x00meta", 12);
  for (const std::string& blob :
       {tar, Gzip(tar), Zstd(tar), Gzip(first) + Gzip(second), Gzip(tar) + std::string(512, 0),
        Zstd(first) + Zstd(second), skippable + Zstd(tar)}) {
    std::filesystem::remove_all(layer_);
    ASSERT_TRUE(MakeFolders(layer_).ok());
    const auto layer = UnpackBytes(blob, tar);
    ASSERT_TRUE(layer.ok()) << layer.status();
    EXPECT_EQ(Stat("f").st_size, 3 << 20);
  }
}

TEST_F(LayerTest, AnEmptyLayerIsOne) {
  const std::string tar = TarEnd();
  EXPECT_TRUE(UnpackBytes(Gzip(tar), tar).ok());
  EXPECT_TRUE(UnpackBytes("", "").ok());
}

TEST_F(LayerTest, AGoneCallerEndsTheWork) {
  Call call;
  call.cancelled = [] { return true; };
  LayerJob job{"layer", "", layer_, bounds_, [&](const auto& sink) {
                 while (true) {
                   if (absl::Status status = sink(std::string(1 << 20, 0)); !status.ok())
                     return status;
                 }
               }};
  EXPECT_EQ(UnpackLayer(job, call).status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace crisp
