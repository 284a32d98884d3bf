#include "monitor/log_file.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdlib>
#include <vector>

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class LogFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/log_file_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    umount2((folder_ + "/disk").c_str(), MNT_DETACH);
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }
  static void Write(LogFile& log, const std::vector<std::string>& lines) {
    std::vector<struct iovec> pieces;
    for (const std::string& line : lines) {
      pieces.push_back({const_cast<char*>(line.data()), line.size()});
    }
    log.Write(pieces);
  }
  std::string folder_;
};

TEST_F(LogFileTest, MakesTheFileAndItsFolders) {
  const mode_t before = umask(022);
  const std::string path = folder_ + "/pod/container/0.log";
  absl::StatusOr<LogFile> log = LogFile::Open(path);
  ASSERT_TRUE(log.ok()) << log.status();
  Write(*log, {"one\n", "two\n"});
  umask(before);
  EXPECT_EQ(*ReadFile(path), "one\ntwo\n");
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  ASSERT_EQ(stat((folder_ + "/pod/container").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755u);
}

TEST_F(LogFileTest, AppendsAndReopens) {
  const std::string path = folder_ + "/0.log";
  ASSERT_TRUE(ReplaceFile(path, "before\n").ok());
  absl::StatusOr<LogFile> log = LogFile::Open(path);
  ASSERT_TRUE(log.ok());
  Write(*log, {"one\n"});
  ASSERT_EQ(rename(path.c_str(), (path + ".old").c_str()), 0);
  Write(*log, {"two\n"});
  ASSERT_TRUE(log->Reopen().ok());
  EXPECT_TRUE(PathExists(path));
  Write(*log, {"three\n"});
  EXPECT_EQ(*ReadFile(path + ".old"), "before\none\ntwo\n");
  EXPECT_EQ(*ReadFile(path), "three\n");
}

TEST_F(LogFileTest, FollowsNoLinkAndOpensNothingButFiles) {
  const std::string target = folder_ + "/precious";
  ASSERT_TRUE(ReplaceFile(target, "").ok());
  const std::string link = folder_ + "/link.log";
  ASSERT_EQ(symlink(target.c_str(), link.c_str()), 0);
  const absl::Status status = LogFile::Open(link).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr(link));
  const std::string fifo = folder_ + "/fifo.log";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_FALSE(LogFile::Open(fifo).ok());
  UniqueFd reader(open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  EXPECT_EQ(LogFile::Open(fifo).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(LogFile::Open(folder_).ok());
  EXPECT_EQ(LogFile::Open("relative.log").status().code(), absl::StatusCode::kInvalidArgument);

  // A link that appears later does not catch a reopening log; the old file stays in use.
  const std::string path = folder_ + "/0.log";
  absl::StatusOr<LogFile> log = LogFile::Open(path);
  ASSERT_TRUE(log.ok());
  ASSERT_EQ(rename(path.c_str(), (path + ".old").c_str()), 0);
  ASSERT_EQ(symlink(target.c_str(), path.c_str()), 0);
  EXPECT_FALSE(log->Reopen().ok());
  Write(*log, {"kept\n"});
  EXPECT_EQ(*ReadFile(path + ".old"), "kept\n");
  EXPECT_EQ(*ReadFile(target), "");
}

TEST_F(LogFileTest, DropsEverythingWithoutAPath) {
  absl::StatusOr<LogFile> log = LogFile::Open("");
  ASSERT_TRUE(log.ok());
  Write(*log, {"one\n"});
  EXPECT_TRUE(log->Reopen().ok());
}

TEST_F(LogFileTest, AFullDiskCostsWholeLinesOnlyAndIsLeftAgain) {
  const std::string disk = folder_ + "/disk";
  ASSERT_TRUE(MakeFolders(disk).ok());
  ASSERT_EQ(mount("none", disk.c_str(), "tmpfs", 0, "size=64k"), 0);
  const std::string path = disk + "/0.log";
  absl::StatusOr<LogFile> log = LogFile::Open(path);
  ASSERT_TRUE(log.ok()) << log.status();
  const std::string line = std::string(999, 'x') + "\n";
  for (int i = 0; i < 30; ++i) Write(*log, {line, line, line, line, line, line, line});
  EXPECT_GT(log->lost_bytes(), 0u);
  absl::StatusOr<std::string> content = ReadFile(path);
  ASSERT_TRUE(content.ok());
  EXPECT_GT(content->size(), 50'000u);
  EXPECT_EQ(content->size() % line.size(), 0u);
  EXPECT_EQ((content->size() + log->lost_bytes()), 210 * line.size());

  ASSERT_EQ(mount("none", disk.c_str(), "tmpfs", MS_REMOUNT, "size=256k"), 0);
  Write(*log, {"again\n"});
  EXPECT_EQ(log->lost_bytes(), 0u);
  EXPECT_THAT(*ReadFile(path), EndsWith("x\nagain\n"));
}

}  // namespace
}  // namespace crisp
