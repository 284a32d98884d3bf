// Mounts of a container: binds, propagation, read-only, tmpfs, devices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "launch/launch_fixture.h"

namespace crisp {
namespace {

using testing::HasSubstr;
using testing::Not;

class LaunchMountsTest : public LaunchTest {
 protected:
  void SetUp() override {
    LaunchTest::SetUp();
    // A tree of two mounts, shared as systemd makes everything.
    ASSERT_TRUE(MakeFolders(At("volume")).ok());
    ASSERT_EQ(::mount("none", At("volume").c_str(), "tmpfs", 0, nullptr), 0);
    ASSERT_EQ(::mount(nullptr, At("volume").c_str(), nullptr, MS_SHARED, nullptr), 0);
    ASSERT_TRUE(MakeFolders(At("volume/inner")).ok());
    ASSERT_EQ(::mount("none", At("volume/inner").c_str(), "tmpfs", 0, nullptr), 0);
    ASSERT_TRUE(ReplaceFile(At("volume/file"), "outer\n").ok());
    ASSERT_TRUE(ReplaceFile(At("volume/inner/file"), "inner\n").ok());
  }
  void TearDown() override {
    while (::umount2(At("volume/late").c_str(), MNT_DETACH) == 0) {
    }
    ::umount2(At("volume/inner").c_str(), MNT_DETACH);
    ::umount2(At("volume").c_str(), MNT_DETACH);
    LaunchTest::TearDown();
  }
  void Volume(std::vector<std::string> options) {
    AddMount(Mount("/volume", "bind", At("volume").c_str(), options));
  }
  void AllowMounting() {
    for (const char* set : {"bounding", "effective", "permitted"}) {
      config_["process"]["capabilities"][set].push_back("CAP_SYS_ADMIN");
    }
  }
};

using EveryMountsTest = OnEveryRuntime<LaunchMountsTest>;
INSTANTIATE_TEST_SUITE_P(Runtimes, EveryMountsTest, EveryRuntime(), RuntimeName);

TEST_P(EveryMountsTest, RecursiveBindBringsWhatIsBelow) {
  Volume({"rbind", "rprivate", "rw"});
  Shell("cat /volume/file /volume/inner/file; echo new > /volume/made");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.output, "outer\ninner\n");
  EXPECT_TRUE(PathExists(At("volume/made")));
}

TEST_P(EveryMountsTest, PlainBindDoesNot) {
  Volume({"bind", "private"});
  Shell("cat /volume/file /volume/inner/file");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr("outer\n"));
  EXPECT_THAT(done.output, HasSubstr("No such file"));
}

TEST_F(LaunchMountsTest, ReadOnlyIsForOneMountOrForAll) {
  Shell("touch /volume/x; touch /volume/inner/x && echo inner is open");
  Volume({"rbind", "rprivate", "ro"});
  const Finished one = Run();
  ASSERT_TRUE(one.status.ok()) << one.status;
  EXPECT_THAT(one.output, HasSubstr("/volume/x: Read-only file system"));
  EXPECT_THAT(one.output, HasSubstr("inner is open"));
  config_["mounts"].back()["options"] = {"rbind", "rprivate", "rro"};
  const Finished all = Run();
  ASSERT_TRUE(all.status.ok()) << all.status;
  EXPECT_THAT(all.output, HasSubstr("/volume/x: Read-only file system"));
  EXPECT_THAT(all.output, HasSubstr("/volume/inner/x: Read-only file system"));
}

TEST_P(EveryMountsTest, SlaveReceivesFromTheHost) {
  Volume({"rbind", "rslave"});
  config_["linux"]["rootfsPropagation"] = "rslave";
  StartRunning("echo up; exec sleep 1000");
  ASSERT_TRUE(MakeFolders(At("volume/late")).ok());
  ASSERT_EQ(::mount("none", At("volume/late").c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_TRUE(ReplaceFile(At("volume/late/file"), "late\n").ok());
  const Finished done = Exec(ExecProcess({"cat", "/volume/late/file"}));
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.output, "late\n");
}

TEST_P(EveryMountsTest, PrivateDoesNot) {
  Volume({"rbind", "rprivate"});
  StartRunning("echo up; exec sleep 1000");
  ASSERT_TRUE(MakeFolders(At("volume/late")).ok());
  ASSERT_EQ(::mount("none", At("volume/late").c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_TRUE(ReplaceFile(At("volume/late/file"), "late\n").ok());
  EXPECT_NE(Exec(ExecProcess({"cat", "/volume/late/file"})).code, 0);
}

TEST_P(EveryMountsTest, SharedGivesBackToTheHost) {
  Volume({"rbind", "rshared"});
  config_["linux"]["rootfsPropagation"] = "rshared";
  AllowMounting();
  Shell(
      "mkdir /volume/late && mount -t tmpfs none /volume/late && echo from inside > "
      "/volume/late/file && mount -t tmpfs none /data");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.code, 0) << done.output;
  // It is there though the container is gone, and nothing else came along.
  const absl::StatusOr<std::string> text = ReadFile(At("volume/late/file"));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, "from inside\n");
  const absl::StatusOr<std::string> mounts = ReadFile("/proc/self/mountinfo");
  EXPECT_THAT(*mounts, Not(HasSubstr("/data")));
  EXPECT_THAT(*mounts, Not(HasSubstr(At("bundle"))));
}

TEST_P(EveryMountsTest, SlaveAndPrivateGiveNothingBack) {
  for (const char* propagation : {"rslave", "rprivate"}) {
    Volume({"rbind", propagation});
    AllowMounting();
    Shell("mkdir -p /volume/late && mount -t tmpfs none /volume/late && touch /volume/late/x");
    const Finished done = Run();
    ASSERT_TRUE(done.status.ok()) << done.status;
    EXPECT_EQ(done.code, 0) << done.output;
    EXPECT_FALSE(PathExists(At("volume/late/x"))) << propagation;
    config_["mounts"].erase(config_["mounts"].size() - 1);
  }
}

TEST_P(EveryMountsTest, HostMountsAreNotPinned) {
  StartRunning("echo up; exec sleep 1000");
  EXPECT_EQ(::umount2(At("volume/inner").c_str(), 0), 0);  // EBUSY if a copy held it
}

TEST_P(EveryMountsTest, AFileIsBoundOnAFile) {
  AddMount(Mount("/etc/deep/hosts", "bind", At("volume/file").c_str(), {"bind", "ro"}));
  Shell("cat /etc/deep/hosts; echo x > /etc/deep/hosts");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr("outer\n"));
  EXPECT_THAT(done.output, HasSubstr("Read-only file system"));
}

TEST_P(EveryMountsTest, LinkedSourceIsResolvedOnTheHost) {
  ASSERT_EQ(::symlink(At("volume").c_str(), At("link").c_str()), 0);
  AddMount(Mount("/linked", "bind", At("link").c_str(), {"rbind"}));
  Shell("cat /linked/file");
  EXPECT_EQ(Run().output, "outer\n");
}

TEST_P(EveryMountsTest, TmpfsCopiesUp) {
  ASSERT_TRUE(MakeFolders(At("layer/data/sub")).ok());
  ASSERT_TRUE(ReplaceFile(At("layer/data/sub/file"), "copied\n", 0640).ok());
  ASSERT_EQ(::chown(At("layer/data/sub/file").c_str(), 12, 34), 0);
  ASSERT_EQ(::symlink("sub/file", At("layer/data/link").c_str()), 0);
  AddMount(Mount("/data", "tmpfs", "tmpfs", {"tmpcopyup", "size=1m", "nosuid"}));
  Shell("cat /data/link; stat -c '%a %u %g' /data/sub/file; grep ' /data ' /proc/self/mountinfo");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr("copied\n640 12 34\n"));
  EXPECT_THAT(done.output, HasSubstr("nosuid"));
  EXPECT_THAT(done.output, HasSubstr("tmpfs"));
}

TEST_F(LaunchMountsTest, ReadOnlyTmpfsTakesMountPointsFirst) {
  AddMount(Mount("/sealed", "tmpfs", "tmpfs", {"ro", "mode=755"}));
  AddMount(Mount("/sealed/in", "bind", At("volume").c_str(), {"bind"}));
  Shell("cat /sealed/in/file; touch /sealed/x");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr("outer\n"));
  EXPECT_THAT(done.output, HasSubstr("Read-only file system"));
}

TEST_F(LaunchMountsTest, MountOptionsAreSeen) {
  AddMount(Mount("/a", "tmpfs", "tmpfs", {"noexec", "nodev", "noatime", "size=4k"}));
  AddMount(Mount("/b", "bind", At("volume").c_str(), {"rbind", "nosuid", "noexec", "rslave"}));
  Shell("grep -E ' /(a|b|b/inner) ' /proc/self/mountinfo");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr(" /a rw,nodev,noexec,noatime - tmpfs"));
  EXPECT_THAT(done.output, HasSubstr(" /b rw,nosuid,noexec,relatime master:"));
  EXPECT_THAT(done.output, HasSubstr(" /b/inner rw,relatime master:"));
}

TEST_F(LaunchMountsTest, DevicesAndLinksAreThere) {
  config_["linux"]["devices"] = {
      {{"path", "/dev/net/tun"},
       {"type", "c"},
       {"major", 10},
       {"minor", 200},
       {"fileMode", 0600},
       {"uid", 5},
       {"gid", 6}},
      {{"path", "/dev/null"}, {"type", "c"}, {"major", 1}, {"minor", 3}},  // as privileged ones do
      {{"path", "/dev/fifo"}, {"type", "p"}}};
  Shell(
      "echo x > /dev/null && head -c 4 /dev/zero | wc -c; stat -c '%n %t %T %a %u' /dev/net/tun "
      "/dev/urandom; stat -c '%F' /dev/fifo; for l in ptmx fd stdout; do readlink /dev/$l; done");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.output,
            "4\n/dev/net/tun a c8 600 5\n/dev/urandom 1 9 666 0\nfifo\npts/ptmx\n/proc/self/fd\n"
            "/proc/self/fd/1\n");
}

TEST_P(EveryMountsTest, HiddenPathsAreHidden) {
  ASSERT_TRUE(ReplaceFile(At("layer/data/secret"), "secret", 0755).ok());
  ASSERT_TRUE(MakeFolders(At("layer/data/folder")).ok());
  ASSERT_TRUE(ReplaceFile(At("layer/data/folder/secret"), "secret").ok());
  config_["linux"]["maskedPaths"] = {"/data/secret", "/data/folder", "/sys/firmware", "/absent",
                                     "/proc/keys"};
  config_["linux"]["readonlyPaths"] = {"/tmp", "/proc/sys"};
  Shell(
      "cat /data/secret /proc/keys; ls /data/folder; touch /data/folder/x; touch /tmp/x; "
      "echo 1 > /proc/sys/kernel/shmmni; /data/secret");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, Not(HasSubstr("secret\n")));
  EXPECT_THAT(done.output, HasSubstr("/data/folder/x: Read-only file system"));
  EXPECT_THAT(done.output, HasSubstr("/tmp/x: Read-only file system"));
  EXPECT_THAT(done.output, HasSubstr("/proc/sys/kernel/shmmni: Read-only file system"));
  EXPECT_THAT(done.output, HasSubstr("/data/secret: Permission denied"));
}

}  // namespace
}  // namespace crisp
