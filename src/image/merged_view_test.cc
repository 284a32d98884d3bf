#include "image/merged_view.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <filesystem>

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "image/image_store.h"

namespace crisp {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

class MergedViewTest : public ::testing::Test {
 protected:
  MergedViewTest() {
    char pattern[] = "/tmp/crisp-view-test.XXXXXX";
    folder_ = mkdtemp(pattern);
    for (const char* layer : {"top", "mid", "low"}) {
      fs::create_directory(folder_ + "/" + layer);
      layers_.push_back(folder_ + "/" + layer);
    }
  }
  ~MergedViewTest() override { fs::remove_all(folder_); }
  void Put(int layer, const std::string& path, const std::string& text) {
    const std::string full = layers_[layer] + "/" + path;
    fs::create_directories(FolderOf(full));
    EXPECT_TRUE(ReplaceFile(full, text).ok());
  }
  void Whiteout(int layer, const std::string& path) {
    const std::string full = layers_[layer] + "/" + path;
    fs::create_directories(FolderOf(full));
    EXPECT_EQ(mknod(full.c_str(), S_IFCHR, makedev(0, 0)), 0);
  }
  std::string Read(const std::string& path) {
    return SmallFileOf(*MergedView::Open(layers_), path, 1 << 20);
  }

  std::string folder_;
  std::vector<std::string> layers_;
};

TEST_F(MergedViewTest, ShowsWhatOverlayWould) {
  Put(2, "etc/passwd", "low");
  Put(1, "etc/passwd", "mid");
  Put(2, "etc/group", "low");
  Put(2, "etc/shadow", "low");
  Whiteout(0, "etc/shadow");
  Put(2, "opaque/hidden", "x");
  Put(1, "opaque/shown", "y");
  ASSERT_EQ(setxattr((layers_[1] + "/opaque").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  Put(2, "was/a/folder", "x");
  Put(1, "was", "a file");
  Put(2, "covered", "file below");
  Put(0, "covered/by", "folder");
  EXPECT_EQ(Read("/etc/passwd"), "mid");
  EXPECT_EQ(Read("etc/../etc/./group"), "low");
  EXPECT_EQ(Read("etc/shadow"), "");
  EXPECT_EQ(Read("opaque/hidden"), "");
  EXPECT_EQ(Read("opaque/shown"), "y");
  EXPECT_EQ(Read("was/a/folder"), "");
  EXPECT_EQ(Read("was"), "a file");
  EXPECT_EQ(Read("covered/by"), "folder");
  const auto view = MergedView::Open(layers_);
  EXPECT_THAT(*MergedView::Names(view->root()), ElementsAre("covered", "etc", "opaque", "was"));
  EXPECT_THAT(*MergedView::Names(*view->Find("etc")), ElementsAre("group", "passwd"));
}

TEST_F(MergedViewTest, LinksStayInside) {
  Put(2, "real/passwd", "inside");
  fs::create_symlink("/real", layers_[1] + "/etc");
  fs::create_symlink("../../../../../real/passwd", layers_[0] + "/up");
  fs::create_symlink("/etc/hostname", layers_[0] + "/outside");
  fs::create_symlink("loop", layers_[0] + "/loop");
  ASSERT_EQ(mkfifo((layers_[0] + "/fifo").c_str(), 0600), 0);
  EXPECT_EQ(Read("etc/passwd"), "inside");
  EXPECT_EQ(Read("up"), "inside");
  EXPECT_EQ(Read("outside"), "");
  EXPECT_EQ(Read("loop"), "");
  EXPECT_EQ(Read("fifo"), "");  // neither read nor waited for
}

TEST_F(MergedViewTest, VolumesAreCopiedAsTheImageShowsThem) {
  Put(2, "data/low", "1");
  Put(2, "data/gone", "1");
  Put(1, "data/sub/mid", "2");
  Whiteout(0, "data/gone");
  fs::create_symlink("/etc/passwd", layers_[0] + "/data/link");
  ASSERT_EQ(chown((layers_[0] + "/data").c_str(), 33, 34), 0);
  ASSERT_EQ(chmod((layers_[0] + "/data").c_str(), 01770), 0);
  ASSERT_EQ(setxattr((layers_[2] + "/data/low").c_str(), "user.note", "n", 1, 0), 0);
  ImageRecord image;
  image.layer_folders = layers_;
  const std::string target = folder_ + "/volume";
  fs::create_directory(target);
  ASSERT_TRUE(CopyFromImage(image, "/data", target).ok());
  EXPECT_EQ(*ReadFile(target + "/low"), "1");
  EXPECT_EQ(*ReadFile(target + "/sub/mid"), "2");
  EXPECT_FALSE(PathExists(target + "/gone"));
  EXPECT_EQ(fs::read_symlink(target + "/link"), "/etc/passwd");
  struct stat info;
  ASSERT_EQ(stat(target.c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 33u);
  EXPECT_EQ(info.st_mode & 07777, 01770u);
  char value[4];
  EXPECT_EQ(getxattr((target + "/low").c_str(), "user.note", value, sizeof value), 1);
  EXPECT_TRUE(CopyFromImage(image, "/no/such", target).ok());
}

}  // namespace
}  // namespace crisp
