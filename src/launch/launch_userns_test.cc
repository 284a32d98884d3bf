// Containers in a user namespace: what they are inside, and what the host has of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kernel/namespace.h"
#include "launch/launch_fixture.h"

namespace crisp {
namespace {

using testing::HasSubstr;

constexpr uint32_t kRoot = 100000;

class LaunchUsernsTest : public LaunchTest {
 protected:
  void SetUp() override {
    LaunchTest::SetUp();
    const IdMaps maps{{{0, kRoot, 65536}}, {{0, kRoot, 65536}}};
    ASSERT_TRUE(PinNamespaces({{NamespaceKind::kNetwork, At("net")},
                               {NamespaceKind::kIpc, At("ipc")},
                               {NamespaceKind::kUts, At("uts")}},
                              "mapped", {}, OwnerRequest{At("user"), maps})
                    .ok());
    ASSERT_EQ(::chown(At("upper").c_str(), kRoot, kRoot), 0);
    config_.erase("hostname");
    config_["linux"]["namespaces"] = {{{"type", "mount"}},
                                      {{"type", "pid"}},
                                      {{"type", "user"}, {"path", At("user")}},
                                      {{"type", "network"}, {"path", At("net")}},
                                      {{"type", "ipc"}, {"path", At("ipc")}},
                                      {{"type", "uts"}, {"path", At("uts")}}};
    AddMaps(config_["linux"], kRoot);
  }
  void TearDown() override {
    for (const char* pin : {"net", "ipc", "uts", "user"}) {
      EXPECT_TRUE(UnpinNamespace(At(pin)).ok());
    }
    LaunchTest::TearDown();
  }
  static void AddMaps(Json& object, uint32_t host) {
    for (const char* key : {"uidMappings", "gidMappings"}) {
      object[key] = {{{"containerID", 0}, {"hostID", host}, {"size", 65536}}};
    }
  }
  std::string Output(const std::string& script) {
    Shell(script);
    const Finished finished = Run();
    EXPECT_TRUE(finished.status.ok()) << finished.status;
    EXPECT_EQ(finished.code, 0) << finished.output;
    return finished.output;
  }
};

TEST_F(LaunchUsernsTest, RootInsideIsNobodyOutside) {
  EXPECT_EQ(Output("id -u; id -g; hostname; cat /proc/self/uid_map"),
            "0\n0\nmapped\n         0     100000      65536\n");
  EXPECT_EQ(Output("touch /made; stat -c %u:%g /made /bin/busybox /etc"), "0:0\n0:0\n0:0\n");
  struct stat about = {};
  ASSERT_EQ(::lstat(At("upper/made").c_str(), &about), 0);
  EXPECT_EQ(about.st_uid, kRoot);
  EXPECT_EQ(about.st_gid, kRoot);
  ASSERT_EQ(::lstat(At("layer/bin/busybox").c_str(), &about), 0);
  EXPECT_EQ(about.st_uid, 0u) << "the layer is not changed";
}

TEST_F(LaunchUsernsTest, FilesOfTheImageCanBeChangedAndRemoved) {
  ASSERT_TRUE(ReplaceFile(At("layer/etc/conf"), "old\n").ok());
  EXPECT_EQ(Output("echo new >>/etc/conf; cat /etc/conf; chmod 600 /etc/conf; "
                   "mkdir /data/a; ls -a /data | wc -l"),
            "old\nnew\n3\n");
}

TEST_F(LaunchUsernsTest, DevicesAndStdoutCanBeUsed) {
  EXPECT_EQ(Output("echo out >/dev/stdout; echo x >/dev/null; head -c 2 /dev/zero | wc -c; "
                   "stat -c %t:%T /dev/null"),
            "out\n2\n1:3\n");
}

TEST_F(LaunchUsernsTest, AnotherUserWritesToStdout) {
  config_["process"]["user"] = {{"uid", 1000}, {"gid", 1000}};
  EXPECT_EQ(Output("id -u; echo out >/dev/stdout"), "1000\nout\n");
}

TEST_F(LaunchUsernsTest, CapabilitiesCountInsideOnly) {
  for (const char* set : {"bounding", "effective", "permitted"}) {
    config_["process"]["capabilities"][set].push_back("CAP_SYS_ADMIN");
    config_["process"]["capabilities"][set].push_back("CAP_MKNOD");
  }
  Shell("mount -t tmpfs none /tmp && hostname other && hostname");
  EXPECT_EQ(Run().output, "other\n");
  // The host's files are beyond reach even by a path that is open.
  ASSERT_TRUE(ReplaceFile(At("secret"), "secret", 0600).ok());
  AddMount(Mount("/secret", "bind", At("secret").c_str(), {"bind", "rprivate"}));
  Shell("cat /secret");
  EXPECT_THAT(Run().output, HasSubstr("Permission denied"));
}

TEST_F(LaunchUsernsTest, MappedVolumesBelongToTheRootInside) {
  ASSERT_TRUE(MakeFolders(At("volume")).ok());
  ASSERT_TRUE(ReplaceFile(At("volume/file"), "text\n", 0600).ok());
  Json& mount = AddMount(Mount("/volume", "bind", At("volume").c_str(), {"rbind", "rprivate"}));
  AddMaps(mount, kRoot);
  EXPECT_EQ(Output("cat /volume/file; touch /volume/new; stat -c %u /volume/new"), "text\n0\n");
  struct stat about = {};
  ASSERT_EQ(::lstat(At("volume/new").c_str(), &about), 0);
  EXPECT_EQ(about.st_uid, 0u) << "on disk the ids are those inside";
}

TEST_F(LaunchUsernsTest, AVolumeMayHaveItsOwnMap) {
  ASSERT_TRUE(MakeFolders(At("volume")).ok());
  ASSERT_TRUE(ReplaceFile(At("volume/file"), "text\n").ok());
  Json& mount = AddMount(Mount("/volume", "bind", At("volume").c_str(), {"rbind", "rprivate"}));
  AddMaps(mount, kRoot + 1000);
  EXPECT_EQ(Output("stat -c %u /volume/file"), "1000\n");
}

TEST_F(LaunchUsernsTest, AVolumeCanBeMappedWithoutAUserNamespace) {
  config_ = BaseConfig();
  ASSERT_TRUE(MakeFolders(At("volume")).ok());
  ASSERT_TRUE(ReplaceFile(At("volume/file"), "text\n").ok());
  Json& mount = AddMount(Mount("/volume", "bind", At("volume").c_str(), {"rbind", "rprivate"}));
  AddMaps(mount, 4242);
  EXPECT_EQ(Output("stat -c %u /volume/file"), "4242\n");
}

TEST_F(LaunchUsernsTest, WhatCannotBeMappedSaysSo) {
  Json& mount = AddMount(Mount("/volume", "bind", "/proc/self", {"bind", "rprivate"}));
  AddMaps(mount, kRoot);
  Shell("true");
  const Finished finished = Run();
  EXPECT_TRUE(absl::IsFailedPrecondition(finished.status)) << finished.status;
  EXPECT_THAT(std::string(finished.status.message()), HasSubstr("/volume"));
  EXPECT_THAT(std::string(finished.status.message()), HasSubstr("cannot be mapped"));
}

TEST_F(LaunchUsernsTest, ExecsAreInItToo) {
  StartRunning("echo up; sleep 100");
  const Finished finished =
      Exec(ExecProcess({"/bin/sh", "-c", "id -u; cat /proc/self/uid_map; echo out >/dev/stdout"}));
  EXPECT_TRUE(finished.status.ok()) << finished.status;
  EXPECT_EQ(finished.output, "0\n         0     100000      65536\nout\n");
}

TEST_F(LaunchUsernsTest, FailuresBeforeTheNamespaceLeaveNothing) {
  const Json good = config_;
  AddMount(Mount("/x", "bind", "/no/such/source", {"rbind"}));
  Shell("true");
  EXPECT_THAT(std::string(Run().status.message()), HasSubstr("mount at /x: cloning the mount at "));
  config_ = good;
  config_["linux"].erase("uidMappings");
  config_["linux"].erase("gidMappings");
  EXPECT_THAT(std::string(Run().status.message()), HasSubstr("linux.uidMappings is missing"));
  config_ = good;
  config_["linux"]["namespaces"][2]["path"] = At("no-such-user");
  EXPECT_THAT(std::string(Run().status.message()), HasSubstr("no-such-user"));
  EXPECT_FALSE(Cgroup(*tree_, CgroupPath()).Exists());
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
}

TEST_F(LaunchUsernsTest, NothingShowsOnTheHost) {
  const std::string before = ReadFile("/proc/self/mountinfo").value();
  Output("true");
  EXPECT_EQ(ReadFile("/proc/self/mountinfo").value(), before);
}

}  // namespace
}  // namespace crisp
