#include "kernel/namespace.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <thread>

#include "base/file.h"
#include "base/status.h"
#include "base/text.h"
#include "kernel/netlink.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

class NamespaceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-namespace-XXXXXX";
    folder_ = mkdtemp(name);
    ASSERT_TRUE(PrepareNetnsFolder(Path("netns")).ok());
  }
  void TearDown() override {
    for (const char* pin : {"netns/a", "ipc", "uts"}) EXPECT_TRUE(UnpinNamespace(Path(pin)).ok());
    while (umount2(Path("netns").c_str(), MNT_DETACH) == 0) {
    }
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }
  std::string Path(const std::string& name) const { return JoinPath(folder_, name); }
  // What task reads, on a thread that has entered the pinned namespace.
  std::string Inside(const std::string& pin, int kind, const std::string& file) {
    std::string text;
    std::thread([&] {
      const UniqueFd fd = *OpenFile(Path(pin), O_RDONLY);
      if (setns(fd.get(), kind) != 0) text = ErrnoStatus("setns").ToString();
      if (text.empty()) text = std::string(Trim(ReadFile(file, 4096).value_or("unreadable")));
    }).join();
    return text;
  }

  std::string folder_;
};

TEST_F(NamespaceTest, MakesAndPinsAllThree) {
  const std::string host_name = ReadFile("/proc/sys/kernel/hostname", 256).value();
  const std::string host_shm = ReadFile("/proc/sys/kernel/shmmni", 256).value();
  const absl::Status status = PinNamespaces({{NamespaceKind::kNetwork, Path("netns/a")},
                                             {NamespaceKind::kIpc, Path("ipc")},
                                             {NamespaceKind::kUts, Path("uts")}},
                                            "pod-name",
                                            {{"net.ipv4.ip_unprivileged_port_start", "0"},
                                             {"kernel.shmmni", "123"},
                                             {"fs.mqueue.msg_max", "77"},
                                             {"net/ipv4/conf/lo/forwarding", "1"}});
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_TRUE(IsPinnedNamespace(Path("netns/a")));
  EXPECT_EQ(Inside("uts", CLONE_NEWUTS, "/proc/sys/kernel/hostname"), "pod-name");
  EXPECT_EQ(Inside("ipc", CLONE_NEWIPC, "/proc/sys/kernel/shmmni"), "123");
  EXPECT_EQ(Inside("ipc", CLONE_NEWIPC, "/proc/sys/fs/mqueue/msg_max"), "77");
  EXPECT_EQ(Inside("netns/a", CLONE_NEWNET, "/proc/sys/net/ipv4/ip_unprivileged_port_start"), "0");
  // The host's own are as before.
  EXPECT_EQ(ReadFile("/proc/sys/kernel/hostname", 256).value(), host_name);
  EXPECT_EQ(ReadFile("/proc/sys/kernel/shmmni", 256).value(), host_shm);

  const UniqueFd fd = *OpenFile(Path("netns/a"), O_RDONLY);
  EXPECT_TRUE(InNamespace(fd.get(), [] {
                auto netlink = *Netlink::Open();
                const auto lo = *netlink.FindLink("lo");
                return lo && lo->up ? absl::OkStatus() : absl::InternalError("lo is down");
              }).ok());
}

TEST_F(NamespaceTest, RefusesSysctlsOfTheHost) {
  const auto pin = [&](const std::string& name, const std::string& value) {
    return PinNamespaces({{NamespaceKind::kUts, Path("uts")}}, "", {{name, value}});
  };
  for (const char* name :
       {"kernel.panic", "vm.swappiness", "fs.file-max", "kernel.hostname", "netx.a",
        "kernel/shm/../panic", "net.ipv4.//.//.kernel.panic", "net", "", "net..a"}) {
    const absl::Status status = pin(name, "1");
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << name << ": " << status.ToString();
  }
  EXPECT_THAT(pin("net.ipv4.ip_forward", "1").ToString(),
              HasSubstr("needs the pod's own network namespace"));
  EXPECT_THAT(pin("kernel.shmmax", "1").ToString(), HasSubstr("pod's own IPC"));
  EXPECT_THAT(PinNamespaces({}, "", {{"net.ipv4.ip_forward", "1"}}).ToString(),
              HasSubstr("network namespace"));
  EXPECT_FALSE(PathExists(Path("uts")));
  const absl::Status unknown = PinNamespaces({{NamespaceKind::kNetwork, Path("netns/a")}}, "",
                                             {{"net.ipv4.no_such_thing", "1"}});
  EXPECT_TRUE(absl::IsInvalidArgument(unknown)) << unknown.ToString();
  const absl::Status dots = PinNamespaces({{NamespaceKind::kNetwork, Path("netns/a")}}, "",
                                          {{"net/../kernel/panic", "1"}});
  EXPECT_TRUE(absl::IsInvalidArgument(dots)) << dots.ToString();
  EXPECT_FALSE(PathExists(Path("netns/a")));
}

TEST_F(NamespaceTest, AFailedPinLeavesNothing) {
  const absl::Status status = PinNamespaces(
      {{NamespaceKind::kNetwork, Path("netns/a")}, {NamespaceKind::kUts, Path("missing/uts")}}, "",
      {});
  EXPECT_TRUE(absl::IsNotFound(status)) << status.ToString();
  EXPECT_FALSE(PathExists(Path("netns/a")));
}

TEST_F(NamespaceTest, ReplacesLeftoversAndUnpinsTwice) {
  ASSERT_TRUE(ReplaceFile(Path("netns/a"), "").ok());  // a reboot's leftover
  EXPECT_FALSE(IsPinnedNamespace(Path("netns/a")));
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(PinNamespaces({{NamespaceKind::kNetwork, Path("netns/a")}}, "", {}).ok());
    EXPECT_TRUE(IsPinnedNamespace(Path("netns/a")));
  }
  ASSERT_TRUE(UnpinNamespace(Path("netns/a")).ok());
  EXPECT_FALSE(PathExists(Path("netns/a")));
  EXPECT_TRUE(UnpinNamespace(Path("netns/a")).ok());
}

TEST_F(NamespaceTest, TheFolderIsASharedMountOnce) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(PrepareNetnsFolder(Path("netns")).ok());
  const std::string mounts = ReadFile("/proc/self/mountinfo").value();
  int count = 0;
  for (const std::string_view line : Split(mounts, '\n')) {
    if (line.find(Cat(" ", Path("netns"), " ")) == std::string_view::npos) continue;
    ++count;
    EXPECT_THAT(std::string(line), HasSubstr("shared:"));
  }
  EXPECT_EQ(count, 1);
}

TEST_F(NamespaceTest, InNamespaceWantsANetworkNamespace) {
  const UniqueFd file = *OpenFile("/proc/self/ns/uts", O_RDONLY);
  bool ran = false;
  const absl::Status status = InNamespace(file.get(), [&] {
    ran = true;
    return absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status.ToString();
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace crisp
