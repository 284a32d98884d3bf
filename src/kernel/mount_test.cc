#include "kernel/mount.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"
#include "kernel/mount_info.h"

namespace crisp {
namespace {

using testing::HasSubstr;

class MountTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/crisp-mount-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    target_ = *OpenFile(folder_, O_PATH | O_DIRECTORY);
  }
  void TearDown() override {
    ASSERT_TRUE(Unmount(folder_).ok());
    ASSERT_TRUE(RemoveTree(folder_).ok());
  }
  UniqueFd Tmpfs(uint64_t attributes = 0) {
    absl::StatusOr<NewFilesystem> fs = NewFilesystem::Open("tmpfs");
    EXPECT_TRUE(fs.ok() && fs->SetOption("mode=0700").ok());
    absl::StatusOr<UniqueFd> mount = fs->Mount(attributes);
    EXPECT_TRUE(mount.ok()) << mount.status();
    return *std::move(mount);
  }

  std::string folder_;
  UniqueFd target_;
};

TEST_F(MountTest, NewMountIsSeenInMountInfo) {
  const UniqueFd mount = Tmpfs(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  ASSERT_TRUE(AttachMount(mount.get(), target_.get(), folder_).ok());
  const absl::StatusOr<std::vector<MountInfo>> mounts = ReadMountInfo();
  ASSERT_TRUE(mounts.ok()) << mounts.status();
  const MountInfo* info = MountOf(*mounts, Cat(folder_, "/below"));
  ASSERT_NE(info, nullptr);
  EXPECT_EQ(info->point, folder_);
  EXPECT_EQ(info->type, "tmpfs");
  EXPECT_THAT(info->options, HasSubstr("rw,nosuid,nodev"));
}

TEST_F(MountTest, CloneCanBeReadOnly) {
  const UniqueFd mount = Tmpfs();
  ASSERT_TRUE(AttachMount(mount.get(), target_.get(), folder_).ok());
  const absl::StatusOr<UniqueFd> copy = CloneMount(AT_FDCWD, folder_, TreeDepth::kRecursive);
  ASSERT_TRUE(copy.ok()) << copy.status();
  ASSERT_TRUE(
      ChangeMount(copy->get(), {.set = MOUNT_ATTR_RDONLY}, TreeDepth::kRecursive, "copy").ok());
  EXPECT_EQ(::openat(copy->get(), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600), -1);
  EXPECT_EQ(errno, EROFS);
  EXPECT_TRUE(ReplaceFile(JoinPath(folder_, "file"), "x").ok());
}

TEST_F(MountTest, ErrorsCarryTheKernelsReason) {
  absl::StatusOr<NewFilesystem> fs = NewFilesystem::Open("tmpfs");
  ASSERT_TRUE(fs.ok());
  EXPECT_THAT(fs->SetOption("nonsense=1").ToString(), HasSubstr("Unknown parameter"));
  EXPECT_TRUE(absl::IsFailedPrecondition(NewFilesystem::Open("no-such-type").status()));
  EXPECT_TRUE(absl::IsNotFound(CloneMount(AT_FDCWD, "/no/such", TreeDepth::kOne).status()));
}

TEST(MountInfoTest, ReadsAllFields) {
  const std::vector<MountInfo> mounts = ParseMountInfo(
      "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:3 master:1 - ext3 /dev/root rw,errors=continue\n"
      "37 36 0:5 / /with\\040blank rw - tmpfs tmp\\134fs rw\n"
      "damaged line\n"
      "38 x 0:5 / /y rw - tmpfs tmpfs rw\n"
      "39 36 0:5 / /no-separator rw shared:1 tmpfs tmpfs rw\n");
  ASSERT_EQ(mounts.size(), 2u);
  EXPECT_EQ(mounts[0].id, 36);
  EXPECT_EQ(mounts[0].root, "/mnt1");
  EXPECT_EQ(mounts[0].shared, 3);
  EXPECT_EQ(mounts[0].master, 1);
  EXPECT_EQ(mounts[0].type, "ext3");
  EXPECT_EQ(mounts[1].point, "/with blank");
  EXPECT_EQ(mounts[1].source, "tmp\\fs");
  EXPECT_EQ(mounts[1].shared, 0);
}

TEST(MountInfoTest, FindsTheMountOfAPath) {
  const std::vector<MountInfo> mounts = ParseMountInfo(
      "1 0 0:1 / / rw - ext4 a rw\n"
      "2 1 0:2 / /var rw - ext4 b rw\n"
      "3 1 0:3 / /var/lib rw - ext4 c rw\n"
      "4 3 0:4 / /var/lib rw - ext4 d rw\n");
  EXPECT_EQ(MountOf(mounts, "/var/lib/x")->id, 4);  // the upper one of two
  EXPECT_EQ(MountOf(mounts, "/var/library")->id, 2);
  EXPECT_EQ(MountOf(mounts, "/vary")->id, 1);
  EXPECT_EQ(MountOf({}, "/"), nullptr);
}

}  // namespace
}  // namespace crisp
