#include "kernel/rooted_path.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

namespace crisp {
namespace {

class RootedPathTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/crisp-rooted-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    folder_ = folder;
    ASSERT_TRUE(MakeFolders(At("root/etc")).ok());
    ASSERT_TRUE(MakeFolders(At("outside")).ok());
    root_ = *OpenFile(At("root"), O_PATH | O_DIRECTORY);
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(folder_).ok()); }

  std::string At(std::string_view name) const { return JoinPath(folder_, name); }
  void Link(const std::string& target, const char* name) {
    ASSERT_EQ(::symlink(target.c_str(), At(Cat("root/", name)).c_str()), 0);
  }
  static std::string PathOf(int fd) {
    char path[4096] = {};
    return ::readlink(Cat("/proc/self/fd/", fd).c_str(), path, sizeof path - 1) < 0 ? "" : path;
  }

  std::string folder_;
  UniqueFd root_;
};

TEST_F(RootedPathTest, LinksAndDotsStayInside) {
  Link("/etc", "absolute");
  Link("../../../../etc", "climbing");
  for (const char* path : {"absolute", "climbing", "/../../etc", "etc/../../../etc"}) {
    const absl::StatusOr<UniqueFd> fd = OpenInRoot(root_.get(), path);
    ASSERT_TRUE(fd.ok()) << path << fd.status();
    EXPECT_EQ(PathOf(fd->get()), At("root/etc")) << path;
  }
}

TEST_F(RootedPathTest, MagicLinksAreRefused) {
  ASSERT_TRUE(MakeFolders(At("root/proc")).ok());
  ASSERT_EQ(::mount("proc", At("root/proc").c_str(), "proc", 0, nullptr), 0);
  const UniqueFd outside = *OpenFile(At("outside"), O_PATH);
  Link(Cat("/proc/self/fd/", outside.get()), "magic");
  for (const std::string& path : {Cat("/proc/self/fd/", outside.get()), std::string("magic"),
                                  std::string("/proc/self/root"), std::string("/proc/self/cwd")}) {
    EXPECT_TRUE(absl::IsPermissionDenied(OpenInRoot(root_.get(), path).status())) << path;
    EXPECT_FALSE(MakeFoldersInRoot(root_.get(), Cat(path, "/made")).ok()) << path;
  }
  EXPECT_FALSE(PathExists(At("outside/made")));
  ::umount2(At("root/proc").c_str(), MNT_DETACH);
}

TEST_F(RootedPathTest, FoldersAreMadeThroughLinksInside) {
  Link("/var/data", "dangling");  // the target is still missing
  Link("../../../outside", "climbing");
  Link("loop", "loop");
  const absl::StatusOr<UniqueFd> made = MakeFoldersInRoot(root_.get(), "/dangling/a/b");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(PathOf(made->get()), At("root/var/data/a/b"));
  const absl::StatusOr<UniqueFd> climbed = MakeFoldersInRoot(root_.get(), "/climbing/x");
  ASSERT_TRUE(climbed.ok()) << climbed.status();
  EXPECT_EQ(PathOf(climbed->get()), At("root/outside/x"));
  EXPECT_FALSE(PathExists(At("outside/x")));
  EXPECT_FALSE(MakeFoldersInRoot(root_.get(), "/loop/x").ok());
}

TEST_F(RootedPathTest, FolderPathBlockedByFileIsAnError) {
  ASSERT_TRUE(ReplaceFile(At("root/file"), "x").ok());
  EXPECT_FALSE(MakeFoldersInRoot(root_.get(), "/file/x").ok());
}

TEST_F(RootedPathTest, MountpointsAreMadeAndFound) {
  const absl::StatusOr<UniqueFd> file =
      MakeMountpoint(root_.get(), "/run/a/resolv.conf", MountpointKind::kFile);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(PathOf(file->get()), At("root/run/a/resolv.conf"));
  EXPECT_TRUE(MakeMountpoint(root_.get(), "/run/a/resolv.conf", MountpointKind::kFile).ok());
  EXPECT_TRUE(MakeMountpoint(root_.get(), "/run/b", MountpointKind::kFolder).ok());
  // A link to a missing file is not written through.
  Link("/etc/made", "file-link");
  EXPECT_FALSE(MakeMountpoint(root_.get(), "/file-link", MountpointKind::kFile).ok());
}

TEST_F(RootedPathTest, BeneathSameMountRefusesLinksAndMounts) {
  ASSERT_TRUE(ReplaceFile(At("root/etc/file"), "x").ok());
  Link("etc/file", "link");
  EXPECT_TRUE(OpenBeneathSameMount(root_.get(), "etc/file", O_RDONLY).ok());
  EXPECT_FALSE(OpenBeneathSameMount(root_.get(), "link", O_RDONLY).ok());
  EXPECT_FALSE(OpenBeneathSameMount(root_.get(), "../outside", O_PATH).ok());
  ASSERT_EQ(::mount("none", At("root/etc").c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_TRUE(ReplaceFile(At("root/etc/file"), "y").ok());
  EXPECT_FALSE(OpenBeneathSameMount(root_.get(), "etc/file", O_RDONLY).ok());
  ::umount2(At("root/etc").c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace crisp
