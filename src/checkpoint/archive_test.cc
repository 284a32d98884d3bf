// Archives, from a folder to the file and back, and what a hostile one may not do.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "base/status.h"
#include "checkpoint/apply_diff.h"
#include "checkpoint/archive_reader.h"
#include "checkpoint/archive_writer.h"
#include "checkpoint/documents.h"
#include "checkpoint/folder_capture.h"
#include "image/test_archive.h"

namespace crisp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ArchiveTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/archive-test.XXXXXX";
    top_ = mkdtemp(pattern);
  }
  void TearDown() override { (void)RemoveTree(top_); }
  std::string Path(std::string_view name) const { return JoinPath(top_, name); }
  void Put(const std::string& name, std::string_view text) {
    ASSERT_TRUE(MakeFolders(FolderOf(Path(name))).ok());
    ASSERT_TRUE(ReplaceFile(Path(name), text).ok());
  }
  void PutCheckpoint(const std::string& folder) {
    Put(folder + "/config.dump", R"({"rootfsImage":"busybox"})");
    Put(folder + "/spec.dump", "{}");
    Put(folder + "/checkpoint/inventory.img", "image");
    Put(folder + "/0.log", "a line\n");
  }
  absl::Status Unpack(const std::string& archive) {
    (void)RemoveTree(Path("out"));
    EXPECT_TRUE(MakeFolders(Path("out")).ok());
    return UnpackArchive(Path(archive), Path("out"), ArchiveBounds(), call_);
  }
  // An archive of these entries alone.
  void PutTar(const std::string& name, const std::vector<TarEntry>& entries) {
    const UniqueFd file = OpenFile(Path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600).value();
    TarWriter tar(file.get(), name, call_);
    for (const TarEntry& entry : entries) {
      ASSERT_TRUE(tar.Add(entry, entry.type == TarEntry::Type::kFile ? "data" : "").ok());
    }
    ASSERT_TRUE(tar.Finish().ok());
  }
  static TarEntry Entry(const std::string& path, TarEntry::Type type = TarEntry::Type::kFile) {
    TarEntry entry;
    entry.type = type;
    entry.path = path;
    entry.link = "/etc/passwd";
    entry.mode = 0644;
    return entry;
  }

  std::string top_;
  const Call call_ = Call();
};

TEST_F(ArchiveTest, ThereAndBack) {
  PutCheckpoint("in");
  ASSERT_TRUE(WriteArchive(Path("in"), Path("x.tar"), call_).ok());
  struct stat info = {};
  ASSERT_EQ(stat(Path("x.tar").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600);
  ASSERT_TRUE(Unpack("x.tar").ok());
  EXPECT_TRUE(CheckUnpacked(Path("out")).ok());
  EXPECT_EQ(ReadFile(Path("out/checkpoint/inventory.img")).value(), "image");
  EXPECT_FALSE(PathExists(Path("out/0.log")));
  // Replaced, and nothing stays beside it.
  ASSERT_TRUE(WriteArchive(Path("in"), Path("x.tar"), call_).ok());
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(top_)) {
    names.push_back(entry.path().filename());
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre("in", "out", "x.tar"));
}

TEST_F(ArchiveTest, LocationsThatCannotBe) {
  PutCheckpoint("in");
  const auto fails = [&](const std::string& path) { return CheckArchivePath(path); };
  EXPECT_TRUE(absl::IsInvalidArgument(fails("relative.tar")));
  EXPECT_TRUE(absl::IsInvalidArgument(fails(Path("in"))));
  EXPECT_TRUE(absl::IsInvalidArgument(fails("/dev/null")));
  EXPECT_TRUE(absl::IsNotFound(fails(Path("no/such.tar"))));
  ASSERT_EQ(symlink("/etc/passwd", Path("link.tar").c_str()), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(fails(Path("link.tar"))));
}

TEST_F(ArchiveTest, ACallThatEndsLeavesNothing) {
  PutCheckpoint("in");
  Call call;
  call.cancelled = [] { return true; };
  EXPECT_TRUE(absl::IsCancelled(WriteArchive(Path("in"), Path("x.tar"), call)));
  EXPECT_FALSE(PathExists(Path("x.tar")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(top_), {}), 1);
}

TEST_F(ArchiveTest, OnlyRegularFilesAreRead) {
  PutCheckpoint("in");
  ASSERT_TRUE(WriteArchive(Path("in"), Path("x.tar"), call_).ok());
  ASSERT_EQ(symlink(Path("x.tar").c_str(), Path("link.tar").c_str()), 0);
  ASSERT_EQ(mkfifo(Path("pipe.tar").c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(Unpack("link.tar")));
  EXPECT_TRUE(absl::IsInvalidArgument(Unpack("pipe.tar")));
  EXPECT_TRUE(absl::IsInvalidArgument(Unpack("in")));
  EXPECT_TRUE(absl::IsNotFound(Unpack("nothing.tar")));
  Put("packed.tar", "\x1f\x8bsomething");
  EXPECT_FALSE(Unpack("packed.tar").ok());
  Put("text.tar", std::string(600, 'x'));
  EXPECT_TRUE(absl::IsInvalidArgument(Unpack("text.tar")));
}

TEST_F(ArchiveTest, CompressedOnesAreTakenAndBounded) {
  PutCheckpoint("in");
  Put("in/checkpoint/pages-1.img", std::string(1 << 20, '\0'));
  ASSERT_TRUE(WriteArchive(Path("in"), Path("x.tar"), call_).ok());
  const std::string plain = ReadFile(Path("x.tar"), 8 << 20).value();
  for (const std::string& packed : {Gzip(plain), Zstd(plain)}) {
    Put("packed.tar", packed);
    ASSERT_TRUE(Unpack("packed.tar").ok()) << Unpack("packed.tar");
    EXPECT_TRUE(CheckUnpacked(Path("out")).ok());
    EXPECT_EQ(ReadFile(Path("out/checkpoint/pages-1.img"), 2 << 20).value(),
              std::string(1 << 20, '\0'));
    (void)RemoveTree(Path("out"));
    ASSERT_TRUE(MakeFolders(Path("out")).ok());
    const ArchiveBounds narrow{.small = 1 << 19};
    EXPECT_TRUE(
        absl::IsResourceExhausted(UnpackArchive(Path("packed.tar"), Path("out"), narrow, call_)));
    Put("cut.tar", packed.substr(0, packed.size() / 2));
    EXPECT_FALSE(Unpack("cut.tar").ok());
  }
}

TEST_F(ArchiveTest, LinksDevicesAndDoublesInsideAreRefused) {
  for (const TarEntry::Type type : {TarEntry::Type::kSymlink, TarEntry::Type::kHardLink,
                                    TarEntry::Type::kBlockDevice, TarEntry::Type::kFifo}) {
    PutTar("bad.tar", {Entry("checkpoint/pages-1.img", type)});
    EXPECT_THAT(Unpack("bad.tar").ToString(), HasSubstr("no regular file"));
  }
  PutTar("bad.tar", {Entry("config.dump"), Entry("./config.dump")});
  EXPECT_THAT(Unpack("bad.tar").ToString(), HasSubstr("twice"));
  PutTar("bad.tar", {Entry("checkpoint/../../../climbs")});
  EXPECT_THAT(Unpack("bad.tar").ToString(), HasSubstr("climbs"));
  // What no checkpoint has is passed over.
  PutTar("odd.tar", {Entry("elsewhere/x"), Entry("checkpoint/deeper/x"), Entry("run.sh")});
  EXPECT_TRUE(Unpack("odd.tar").ok());
  EXPECT_THAT(CheckUnpacked(Path("out")).ToString(), HasSubstr("no config.dump"));
}

TEST_F(ArchiveTest, SizesAreBounded) {
  PutTar("big.tar", {Entry("config.dump"), Entry("spec.dump"), Entry("checkpoint/a.img")});
  ASSERT_TRUE(MakeFolders(Path("out")).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(
      UnpackArchive(Path("big.tar"), Path("out"), {.max_entries = 2}, call_)));
  (void)RemoveTree(Path("out"));
  ASSERT_TRUE(MakeFolders(Path("out")).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(
      UnpackArchive(Path("big.tar"), Path("out"), {.max_bytes = 5}, call_)));
}

// An upper folder as overlayfs leaves it, written down and made anew.
TEST_F(ArchiveTest, TheDifferenceOfAnOverlay) {
  Put("lower/old/one", "1");
  Put("lower/old/two", "2");
  Put("upper/old/two", "other");
  Put("upper/new", "new");
  ASSERT_EQ(link(Path("upper/new").c_str(), Path("upper/same").c_str()), 0);
  ASSERT_EQ(symlink("new", Path("upper/link").c_str()), 0);
  ASSERT_EQ(mknod(Path("upper/gone").c_str(), S_IFCHR, makedev(0, 0)), 0);
  if (setxattr(Path("upper/old").c_str(), "trusted.overlay.opaque", "y", 1, 0) != 0) {
    FAIL() << "needs root and trusted attributes in /tmp";
  }
  const auto deleted = ArchiveFolder(
      {.folder = Path("upper"), .overlay = true, .lower = {Path("lower")}}, Path("d.tar"), call_);
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_THAT(*deleted, ElementsAre("/gone", "/old/one"));

  ASSERT_TRUE(MakeFolders(Path("again")).ok());
  ASSERT_TRUE(ApplyDiff(Path("d.tar"), *deleted, Path("again"), LayerBounds(), call_).ok());
  EXPECT_EQ(ReadFile(Path("again/same")).value(), "new");
  EXPECT_EQ(ReadFile(Path("again/old/two")).value(), "other");
  struct stat info = {}, other = {};
  for (const char* name : {"again/gone", "again/old/one"}) {
    ASSERT_EQ(lstat(Path(name).c_str(), &info), 0) << name;
    EXPECT_TRUE(S_ISCHR(info.st_mode) && info.st_rdev == 0) << name;
  }
  ASSERT_EQ(stat(Path("again/new").c_str(), &info), 0);
  ASSERT_EQ(stat(Path("again/same").c_str(), &other), 0);
  EXPECT_EQ(info.st_ino, other.st_ino);
}

TEST_F(ArchiveTest, ADiffStaysInItsFolder) {
  PutTar("d.tar", {Entry("a", TarEntry::Type::kSymlink), Entry("b/c")});
  ASSERT_TRUE(MakeFolders(Path("upper")).ok());
  EXPECT_TRUE(ApplyDiff(Path("d.tar"), {}, Path("upper"), LayerBounds(), call_).ok());
  PutTar("d.tar", {Entry("../out-of-it")});
  EXPECT_FALSE(ApplyDiff(Path("d.tar"), {}, Path("upper"), LayerBounds(), call_).ok());
  EXPECT_FALSE(PathExists(Path("out-of-it")));
  // No archive, no difference.
  EXPECT_TRUE(ApplyDiff(Path("nothing.tar"), {}, Path("upper"), LayerBounds(), call_).ok());
}

}  // namespace
}  // namespace crisp
