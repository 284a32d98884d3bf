// Start: namespaces, root, cgroup, failures.
#include "launch/native_launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>

#include "launch/launch_fixture.h"
#include "launch/rootfs.h"

namespace crisp {
namespace {

using testing::HasSubstr;
using testing::Not;

class StartTest : public LaunchTest {
 protected:
  void ExpectNothingLeft() {
    const Cgroup cgroup(*tree_, CgroupPath());
    EXPECT_FALSE(cgroup.Exists());
    // No child is left but one that is dead already.
    int status = 0;
    EXPECT_EQ(::waitpid(-1, &status, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
  }
  absl::Status ExpectFailure() {
    const Finished done = Run();
    EXPECT_FALSE(done.status.ok());
    ExpectNothingLeft();
    return done.status;
  }
};

using EveryStartTest = OnEveryRuntime<StartTest>;
INSTANTIATE_TEST_SUITE_P(Runtimes, EveryStartTest, EveryRuntime(), RuntimeName);

TEST_P(EveryStartTest, RunsAProgramAndGivesItsExitCode) {
  Shell("echo hello; exit 7");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.output, "hello\n");
  EXPECT_EQ(done.code, 7);
}

TEST_P(EveryStartTest, HasNamespacesOfItsOwn) {
  Shell("echo $$; hostname; cat /proc/self/cgroup; ls /");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr("1\nbox\n"));
  EXPECT_THAT(done.output, Not(HasSubstr(id_)));  // its cgroup is the root of its namespace
  EXPECT_THAT(done.output, HasSubstr("data\ndev\netc\nproc\nsys\ntmp\n"));
}

TEST_P(EveryStartTest, NothingOfTheHostIsMounted) {
  Shell("cat /proc/self/mountinfo");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, Not(HasSubstr("/mnt/")));
  EXPECT_THAT(done.output, Not(HasSubstr("/run")));
  EXPECT_THAT(done.output, HasSubstr(" / / "));
  EXPECT_THAT(done.output, HasSubstr("overlay"));
}

TEST_P(EveryStartTest, NothingStaysMountedOnTheHost) {
  StartRunning("echo up; exec sleep 1000");
  const absl::StatusOr<std::string> mounts = ReadFile("/proc/self/mountinfo");
  ASSERT_TRUE(mounts.ok());
  EXPECT_THAT(*mounts, Not(HasSubstr(folder_)));
}

TEST_P(EveryStartTest, JoinsNamespacesByPath) {
  // A process that stays in namespaces of its own, as a pod's would be pinned.
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t holder = ::fork();
  if (holder == 0) {
    if (::unshare(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) != 0) ::_exit(1);
    if (::sethostname("pod", 3) != 0) ::_exit(1);
    if (::write(pipe[1], "x", 1) != 1) ::_exit(1);
    ::pause();
  }
  char byte;
  ASSERT_EQ(::read(pipe[0], &byte, 1), 1);
  config_.erase("hostname");
  Json& list = config_["linux"]["namespaces"] = Json::array();
  list.push_back({{"type", "mount"}});
  list.push_back({{"type", "pid"}});
  for (const auto& [type, file] : {std::pair("uts", "uts"), {"ipc", "ipc"}, {"network", "net"}}) {
    list.push_back({{"type", type}, {"path", Cat("/proc/", holder, "/ns/", file)}});
  }
  char own[64] = {}, joined[64] = {};
  ASSERT_GT(::readlink("/proc/self/ns/net", own, sizeof own - 1), 0);
  ASSERT_GT(::readlink(Cat("/proc/", holder, "/ns/net").c_str(), joined, sizeof joined - 1), 0);
  Shell("hostname; readlink /proc/self/ns/net");
  const Finished done = Run();
  ::kill(holder, SIGKILL);
  Reap(holder);
  ::close(pipe[0]);
  ::close(pipe[1]);
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.output, Cat("pod\n", joined, "\n"));
  EXPECT_STRNE(own, joined);
}

TEST_F(StartTest, JoinsAPidNamespaceAndTheCallerStaysWhereItWas) {
  StartRunning("echo up; exec sleep 1000");
  const pid_t first = running_[0].pid;
  const std::string id = std::exchange(id_, "second");
  config_["linux"]["cgroupsPath"] = CgroupPath();
  config_["linux"]["namespaces"][1]["path"] = Cat("/proc/", first, "/ns/pid");
  ASSERT_TRUE(MakeFolders(At("upper2")).ok() && MakeFolders(At("work2")).ok());
  Shell("ps");
  const Finished done = Finish([&](ProcessIo io) {
    StartRequest request = Request(io);
    request.rootfs.upper = At("upper2");
    request.rootfs.work = At("work2");
    return launcher_->Start(request);
  });
  (void)Cgroup(*tree_, CgroupPath()).Remove();
  id_ = id;
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr("sleep 1000"));
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::getpid() > 0 ? 0 : 1);
  EXPECT_EQ(Reap(child), 0);
  char own[64] = {}, children[64] = {};
  ASSERT_GT(::readlink("/proc/self/ns/pid", own, sizeof own - 1), 0);
  ASSERT_GT(::readlink("/proc/self/ns/pid_for_children", children, sizeof children - 1), 0);
  EXPECT_STREQ(own, children);
}

TEST_P(EveryStartTest, LimitsHoldBeforeTheProgramRuns) {
  config_["linux"]["resources"] = {{"pids", {{"limit", 7}}}};
  Shell("cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.output, "7\n");
}

TEST_F(StartTest, ItsCgroupsAreMountedReadOnly) {
  Shell("cd /sys/fs/cgroup && ls && mkdir x; for d in *; do mkdir $d/x; done");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr("Read-only file system"));
  EXPECT_NE(done.code, 0);
  if (tree_->version() != CgroupVersion::kV2) {
    EXPECT_THAT(done.output, HasSubstr("memory\n"));
    EXPECT_THAT(done.output, HasSubstr("pids\n"));
  }
}

TEST_P(EveryStartTest, RootCanBeReadOnly) {
  config_["root"]["readonly"] = true;
  Shell("touch /data/x; touch /dev/x && echo dev is open");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr("Read-only file system"));
  EXPECT_THAT(done.output, HasSubstr("dev is open"));
}

TEST_P(EveryStartTest, AFolderCanBeTheRoot) {
  config_["root"]["path"] = At("layer");
  Shell("echo folder > /data/new; cat /data/new");
  const Finished done = Finish([&](ProcessIo io) {
    StartRequest request = Request(io);
    request.rootfs = RootfsPlan();
    return launcher_->Start(request);
  });
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.output, "folder\n");
  EXPECT_TRUE(PathExists(At("layer/data/new")));
}

TEST_P(EveryStartTest, LayersLieInOrder) {
  for (const char* name : {"top/etc", "middle/etc"}) ASSERT_TRUE(MakeFolders(At(name)).ok());
  ASSERT_TRUE(ReplaceFile(At("top/etc/a"), "top\n").ok());
  ASSERT_TRUE(ReplaceFile(At("middle/etc/a"), "middle\n").ok());
  ASSERT_TRUE(ReplaceFile(At("middle/etc/b"), "middle\n").ok());
  Shell("cat /etc/a /etc/b");
  const Finished done = Finish([&](ProcessIo io) {
    StartRequest request = Request(io);
    request.rootfs.lower = {At("top"), At("middle"), At("layer")};
    request.rootfs.options = {"volatile"};
    return launcher_->Start(request);
  });
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.output, "top\nmiddle\n");
}

TEST_F(StartTest, OverlayOfOlderKernelsHasTheSameLayers) {
  for (const char* name : {"top/etc", "target"}) ASSERT_TRUE(MakeFolders(At(name)).ok());
  ASSERT_TRUE(ReplaceFile(At("top/etc/a"), "top").ok());
  const RootfsPlan plan{.lower = {At("top"), At("layer")},
                        .upper = At("upper"),
                        .work = At("work"),
                        .options = {"volatile"},
                        .present = true};
  char before[4096];
  ASSERT_NE(::getcwd(before, sizeof before), nullptr);
  const absl::Status mounted = MountOverlayByText(plan, At("target"));
  ASSERT_EQ(::chdir(before), 0);
  ASSERT_TRUE(mounted.ok()) << mounted;
  EXPECT_TRUE(PathExists(At("target/etc/a")));
  EXPECT_TRUE(PathExists(At("target/bin/busybox")));
  ASSERT_TRUE(Unmount(At("target")).ok());
  RootfsPlan many = plan;
  many.lower.assign(400, At("a-layer-with-a-long-name"));
  EXPECT_THAT(MountOverlayByText(many, At("target")).message(), HasSubstr("400 layers"));
  ASSERT_EQ(::chdir(before), 0);
}

TEST_F(StartTest, MissingProgramIsNamed) {
  config_["process"]["args"] = {"/bin/absent"};
  const absl::Status status = ExpectFailure();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(status.message(),
            Cat("exec \"/bin/absent\" in container ", id_, ": No such file or directory"));
  config_["process"]["args"] = {"absent"};
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("not found in its PATH"));
}

TEST_F(StartTest, WhatIsNoProgramIsRefused) {
  config_["process"]["args"] = {"/data"};
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("Is a directory"));
  ASSERT_TRUE(ReplaceFile(At("layer/data/text"), "text", 0644).ok());
  config_["process"]["args"] = {"/data/text"};
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("Permission denied"));
  ASSERT_TRUE(ReplaceFile(At("layer/data/binary"),
                          "\x7f"
                          "EL",
                          0755)
                  .ok());
  config_["process"]["args"] = {"/data/binary"};
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("Exec format error"));
  config_["process"]["args"] = Json::array();
  EXPECT_TRUE(absl::IsInvalidArgument(ExpectFailure()));
}

TEST_F(StartTest, FailuresNameObjectAndCauseAndLeaveNothing) {
  const Json good = config_;
  AddMount(Mount("/x", "bind", "/no/such/source", {"rbind"}));
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("mount at /x: cloning the mount at "));
  config_ = good;
  AddMount(Mount("/x", "tmpfs", "tmpfs", {"nonsense=3"}));
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("nonsense"));
  config_ = good;
  AddMount(Mount("/x", "nofs", "none", {}));
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("no file system of type \"nofs\""));
  config_ = good;
  config_["process"]["capabilities"]["bounding"].push_back("CAP_ODD");
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("CAP_ODD"));
  config_ = good;
  config_["linux"]["namespaces"].push_back({{"type", "network"}, {"path", "/no/such/netns"}});
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("/no/such/netns"));
  config_ = good;
  config_["linux"]["namespaces"][1]["path"] = "/no/such/pidns";
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("/no/such/pidns"));
  config_ = good;
  config_["linux"]["sysctl"] = {{"vm.overcommit_memory", "1"}};
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("vm.overcommit_memory"));
  config_ = good;
  config_["process"]["cwd"] = "/bin/busybox";
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("working directory"));
  config_ = good;
  config_["hooks"] = {{"prestart", {{{"path", "/bin/true"}}}}};
  EXPECT_TRUE(absl::IsUnimplemented(ExpectFailure()));
}

TEST_F(StartTest, DamagedBundleIsAnError) {
  const Json good = config_;
  config_ = {{"linux", "text"}};
  EXPECT_TRUE(absl::IsInvalidArgument(ExpectFailure()));
  config_ = good;
  config_["process"] = 5;
  EXPECT_TRUE(absl::IsInvalidArgument(ExpectFailure()));
  config_ = good;
  config_["mounts"][0].erase("destination");
  EXPECT_THAT(ExpectFailure().message(), HasSubstr("destination"));
  StartRequest request;
  request.container_id = id_;
  request.bundle = At("no-bundle");
  EXPECT_TRUE(absl::IsNotFound(launcher_->Start(request).status()));
}

TEST_F(StartTest, DeathDuringSetUpIsAFailure) {
  config_["process"]["args"] = {"/bin/true"};
  absl::StatusOr<Launch> launch = launcher_->Start(Request({}));
  ASSERT_TRUE(launch.ok()) << launch.status();
  ::kill(launch->pid, SIGKILL);
  const Outcome outcome = Wait(*launch);
  Reap(launch->pid);
  if (!outcome.status.ok()) {  // it may have been quicker than the signal
    EXPECT_THAT(outcome.status.message(), HasSubstr("died while it was being set up"));
    ExpectNothingLeft();
  }
}

}  // namespace
}  // namespace crisp
