#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/file_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }

  std::string Path(std::string_view name) const { return JoinPath(folder_, name); }

  std::string folder_;
};

TEST_F(FileTest, ReplaceFileLeavesOneWholeFile) {
  ASSERT_TRUE(ReplaceFile(Path("a"), "old").ok());
  ASSERT_TRUE(ReplaceFile(Path("a"), "new", 0600, Durability::kSurvivesPower).ok());
  EXPECT_EQ(*ReadFile(Path("a")), "new");
  struct stat info;
  ASSERT_EQ(stat(Path("a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(FileTest, ReadFileRefusesWhatIsTooLarge) {
  ASSERT_TRUE(ReplaceFile(Path("a"), std::string(5000, 'x')).ok());
  EXPECT_EQ(ReadFile(Path("a"), 5000)->size(), 5000u);
  EXPECT_EQ(ReadFile(Path("a"), 4999).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadFile(Path("none")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FileTest, MakeFoldersMakesParentsAndAcceptsWhatIsThere) {
  ASSERT_TRUE(MakeFolders(Path("a/b/c")).ok());
  EXPECT_TRUE(MakeFolders(Path("a/b/c")).ok());
  ASSERT_TRUE(ReplaceFile(Path("file"), "").ok());
  EXPECT_EQ(MakeFolders(Path("file")).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(MakeFolders(Path("file/below")).ok());
}

TEST_F(FileTest, RemoveTreeDoesNotFollowLinks) {
  ASSERT_TRUE(MakeFolders(Path("kept")).ok());
  ASSERT_TRUE(ReplaceFile(Path("kept/file"), "x").ok());
  ASSERT_TRUE(MakeFolders(Path("gone/inner")).ok());
  ASSERT_EQ(symlink(Path("kept").c_str(), Path("gone/link").c_str()), 0);
  ASSERT_TRUE(RemoveTree(Path("gone")).ok());
  EXPECT_FALSE(PathExists(Path("gone")));
  EXPECT_TRUE(PathExists(Path("kept/file")));
  EXPECT_TRUE(RemoveTree(Path("gone")).ok());
}

// A container can nest folders far deeper than PATH_MAX, the stack or the descriptor limit allow.
TEST_F(FileTest, RemoveTreeCopesWithAnyDepth) {
  constexpr int kDepth = 20'000;
  ASSERT_TRUE(MakeFolders(Path("deep")).ok());
  UniqueFd at(open(Path("deep").c_str(), O_PATH | O_CLOEXEC));
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(mkdirat(at.get(), "d", 0700), 0);
    UniqueFd next(openat(at.get(), "d", O_PATH | O_CLOEXEC));
    ASSERT_TRUE(next.valid());
    at = std::move(next);
  }
  at.reset();
  EXPECT_TRUE(RemoveTree(Path("deep")).ok());
  EXPECT_FALSE(PathExists(Path("deep")));
}

TEST(PathTest, Parts) {
  EXPECT_EQ(BaseName("/a/b/"), "b");
  EXPECT_EQ(BaseName("a"), "a");
  EXPECT_EQ(FolderOf("/a/b/"), "/a");
  EXPECT_EQ(FolderOf("/a"), "/");
  EXPECT_EQ(FolderOf("a"), ".");
  EXPECT_EQ(JoinPath("/", "/a"), "/a");
  EXPECT_EQ(JoinPath("/a/", "b"), "/a/b");
}

TEST(PathTest, CleanPathNeverClimbsAboveTheRoot) {
  EXPECT_EQ(CleanPath("/a/./b//c/"), "/a/b/c");
  EXPECT_EQ(CleanPath("/a/../../b"), "/b");
  EXPECT_EQ(CleanPath("../a/.."), "..");
  EXPECT_EQ(CleanPath("/"), "/");
  EXPECT_EQ(CleanPath("/.."), "/");
  EXPECT_EQ(CleanPath(""), ".");
  EXPECT_EQ(CleanPath("a/b/.."), "a");
}

TEST(TextTest, SplitAndTrim) {
  EXPECT_THAT(Split("a,,b", ','), testing::ElementsAre("a", "", "b"));
  EXPECT_THAT(Split("", ','), testing::ElementsAre(""));
  EXPECT_THAT(SplitWords("/a//b/", '/'), testing::ElementsAre("a", "b"));
  EXPECT_EQ(Trim(" \t a b\n"), "a b");
  EXPECT_EQ(Trim(" \n"), "");
  EXPECT_EQ(Cat(std::string_view("a"), 1, "b", std::string("c")), "a1bc");
}

}  // namespace
}  // namespace crisp
