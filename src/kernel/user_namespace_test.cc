#include "kernel/user_namespace.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"
#include "kernel/namespace.h"

namespace crisp {
namespace {

using testing::HasSubstr;

const IdMaps kMaps{{{0, 100000, 65536}}, {{0, 200000, 65536}}};

ino_t InodeOf(int fd) {
  struct stat about = {};
  EXPECT_EQ(::fstat(fd, &about), 0);
  return about.st_ino;
}

class UserNamespaceTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-userns-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  void TearDown() override {
    for (const char* pin : {"net", "ipc", "uts", "user"}) {
      EXPECT_TRUE(UnpinNamespace(Path(pin)).ok());
    }
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }
  std::string Path(const std::string& name) const { return JoinPath(folder_, name); }

  std::string folder_;
};

TEST_F(UserNamespaceTest, MapsItsIds) {
  const absl::StatusOr<NamespaceHolder> holder = NamespaceHolder::Start(kMaps, 0);
  ASSERT_TRUE(holder.ok()) << holder.status();
  const std::string folder = FolderOf(FolderOf(holder->Path("user")));
  EXPECT_THAT(ReadFile(JoinPath(folder, "uid_map"), 4096).value(), HasSubstr("100000      65536"));
  EXPECT_THAT(ReadFile(JoinPath(folder, "gid_map"), 4096).value(), HasSubstr("200000      65536"));
  EXPECT_THAT(ReadFile(JoinPath(folder, "status"), 65536).value(),
              HasSubstr("Uid:\t100000\t100000\t100000"));
}

TEST_F(UserNamespaceTest, LivesOnInItsDescriptor) {
  const absl::StatusOr<UniqueFd> fd = MakeUserNamespace(kMaps);
  ASSERT_TRUE(fd.ok()) << fd.status();
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::setns(fd->get(), CLONE_NEWUSER) == 0 ? 0 : 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(UserNamespaceTest, ABadMapIsAnErrorThatLeavesNoChild) {
  const IdMaps overlapping{{{0, 100000, 10}, {5, 200000, 10}}, {{0, 100000, 10}}};
  const absl::Status status = MakeUserNamespace(overlapping).status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("uid mapping"));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
}

TEST_F(UserNamespaceTest, OwnsThePinnedNamespaces) {
  const absl::Status status = PinNamespaces(
      {{NamespaceKind::kNetwork, Path("net")},
       {NamespaceKind::kIpc, Path("ipc")},
       {NamespaceKind::kUts, Path("uts")}},
      "mapped", {{"net.ipv4.ping_group_range", "200000 265535"}, {"kernel.shmmni", "123"}},
      OwnerRequest{Path("user"), kMaps});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(IsPinnedNamespace(Path("user")));
  const UniqueFd user = *OpenFile(Path("user"), O_RDONLY);
  for (const char* name : {"net", "ipc", "uts"}) {
    const UniqueFd fd = *OpenFile(Path(name), O_RDONLY);
    const UniqueFd owner(::ioctl(fd.get(), NS_GET_USERNS));
    ASSERT_TRUE(owner.valid()) << name;
    EXPECT_EQ(InodeOf(owner.get()), InodeOf(user.get())) << name;
  }
}

TEST_F(UserNamespaceTest, NothingStaysPinnedAfterAnError) {
  const absl::Status status =
      PinNamespaces({{NamespaceKind::kNetwork, Path("net")}}, "", {{"net.no.such", "1"}},
                    OwnerRequest{Path("user"), kMaps});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_FALSE(PathExists(Path("user")));
  EXPECT_FALSE(PathExists(Path("net")));
}

TEST_F(UserNamespaceTest, MapsTheIdsOfAMount) {
  ASSERT_TRUE(ReplaceFile(Path("file"), "x").ok());
  const UniqueFd user = *MakeUserNamespace(kMaps);
  const UniqueFd mount = *CloneMount(AT_FDCWD, folder_, TreeDepth::kOne);
  const absl::Status status = MapMount(mount.get(), user.get(), TreeDepth::kOne, folder_);
  ASSERT_TRUE(status.ok()) << status;
  struct stat about = {};
  ASSERT_EQ(::fstatat(mount.get(), "file", &about, 0), 0);
  EXPECT_EQ(about.st_uid, 100000u);
  EXPECT_EQ(about.st_gid, 200000u);
  const UniqueFd proc = *CloneMount(AT_FDCWD, "/proc", TreeDepth::kOne);
  const absl::Status refused = MapMount(proc.get(), user.get(), TreeDepth::kOne, "/proc");
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
}

TEST_F(UserNamespaceTest, TheProbeLeavesNothing) {
  EXPECT_TRUE(ProbeUserNamespaces(Path("probe")).ok()) << ProbeUserNamespaces(Path("probe"));
  EXPECT_EQ(::rmdir(Path("probe").c_str()), 0) << "it is not empty";
  const absl::Status refused = ProbeUserNamespaces("/proc/crisp-probe");
  EXPECT_FALSE(refused.ok());
}

}  // namespace
}  // namespace crisp
