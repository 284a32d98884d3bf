// Hostile images and mounts: nothing leads out of the container. Each known escape has its test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>

#include "launch/launch_fixture.h"

namespace crisp {
namespace {

using testing::HasSubstr;
using testing::Not;

class LaunchSecurityTest : public LaunchTest {
 protected:
  // In the place of an empty folder, if there is one.
  void Link(const std::string& target, const char* name) {
    const std::string path = At(Cat("layer/", name));
    ::rmdir(path.c_str());
    ASSERT_EQ(::symlink(target.c_str(), path.c_str()), 0);
  }
  void AddVolume(const char* destination) {
    ASSERT_TRUE(MakeFolders(At("volume")).ok());
    AddMount(Mount(destination, "bind", At("volume").c_str(), {"rbind", "rprivate"}));
  }
  void DropMount(std::string_view destination) {
    Json kept = Json::array();
    for (Json& mount : config_["mounts"]) {
      if (JsonString(mount, "destination") != destination) kept.push_back(mount);
    }
    config_["mounts"] = kept;
  }
};

using EverySecurityTest = OnEveryRuntime<LaunchSecurityTest>;
INSTANTIATE_TEST_SUITE_P(Runtimes, EverySecurityTest, EveryRuntime(), RuntimeName);

TEST_F(LaunchSecurityTest, MountDestinationsStayInside) {
  ASSERT_TRUE(MakeFolders(At("host")).ok());
  Link(At("host"), "absolute");
  Link(Cat("../../../../../../../..", At("host")), "climbing");
  ASSERT_TRUE(MakeFolders(At("volume")).ok());
  ASSERT_TRUE(ReplaceFile(At("volume/file"), "x\n").ok());
  for (const char* destination :
       {"/absolute", "/climbing/deeper", "/../../../..", "/absolute/../../.."}) {
    if (std::string_view(destination).find("..") == 1) continue;
    AddMount(Mount(destination, "bind", At("volume").c_str(), {"bind"}));
  }
  AddMount(Mount("/climbing/f", "bind", At("volume/file").c_str(), {"bind"}));
  Shell(Cat("cat ", At("host"), "/file ", At("host"), "/deeper/file ", At("host"), "/f"));
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_FALSE(PathExists(At("host/deeper")));
  EXPECT_FALSE(PathExists(At("host/f")));
  EXPECT_THAT(done.output, HasSubstr("x\n"));
}

TEST_F(LaunchSecurityTest, ProcMustBeNoLink) {
  Link("/data", "proc");
  const Finished done = Run();
  EXPECT_TRUE(absl::IsPermissionDenied(done.status)) << done.status;
  EXPECT_THAT(done.status.message(), HasSubstr("/proc"));
}

TEST_F(LaunchSecurityTest, NothingIsMountedInsideProc) {
  AddVolume("/proc/sys");
  EXPECT_THAT(Run().status.message(), HasSubstr("nothing may be mounted inside"));
}

TEST_F(LaunchSecurityTest, ALinkIntoProcIsNoWayAroundThat) {
  Link("/proc/self", "sneaky");
  AddVolume("/sneaky/attr");
  EXPECT_FALSE(Run().status.ok());
}

TEST_F(LaunchSecurityTest, MagicLinksAreNoMountDestination) {
  AddVolume("/proc/self/root");
  EXPECT_FALSE(Run().status.ok());
  config_["mounts"].back()["destination"] = "/proc/self/fd/5";
  EXPECT_FALSE(Run().status.ok());
}

// CVE-2019-5736: the runtime's own program, reached as /proc/self/exe.
TEST_F(LaunchSecurityTest, TheLaunchersProgramCannotBeExecuted) {
  Link("/proc/self/exe", "bin/self");
  for (const char* program : {"/proc/self/exe", "/bin/self", "self", "/proc/thread-self/exe"}) {
    config_["process"]["args"] = {program};
    const Finished done = Run();
    EXPECT_FALSE(done.status.ok()) << program;
  }
  StartRunning("echo up; exec sleep 1000");
  EXPECT_FALSE(Exec(ExecProcess({"/proc/self/exe"})).status.ok());
}

TEST_F(LaunchSecurityTest, TheLauncherCannotBeTraced) { EXPECT_EQ(::prctl(PR_GET_DUMPABLE), 0); }

// CVE-2024-21626: a working directory, or a descriptor, that is a way to the host.
TEST_F(LaunchSecurityTest, WorkingDirectoryIsInside) {
  for (int fd = 3; fd < 20; ++fd) {
    config_["process"]["cwd"] = Cat("/proc/self/fd/", fd);
    const Finished done = Run();
    EXPECT_FALSE(done.status.ok()) << fd << done.output;
  }
  Link("/proc/self/fd/7", "fd-link");
  config_["process"]["cwd"] = "/fd-link";
  EXPECT_FALSE(Run().status.ok());
}

TEST_F(LaunchSecurityTest, ExecsWorkingDirectoryIsInside) {
  StartRunning("echo up; exec sleep 1000");
  for (int fd = 3; fd < 20; ++fd) {
    Json process = ExecProcess({"ls"});
    process["cwd"] = Cat("/proc/self/fd/", fd);
    EXPECT_FALSE(Exec(process).status.ok()) << fd;
  }
}

TEST_P(EverySecurityTest, NoDescriptorLeaks) {
  // One that someone forgot to mark close-on-exec.
  const UniqueFd leaked(::open("/", O_RDONLY | O_DIRECTORY));
  Shell("for f in /proc/self/fd/*; do echo $f; done; ls -l /proc/self/fd");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, Not(HasSubstr("fd/4\n")));
  EXPECT_THAT(done.output, Not(HasSubstr("-> /\n")));
  StartRunning("echo up; exec sleep 1000");
  const Finished exec = Exec(ExecProcess({"ls", "-l", "/proc/self/fd", "/proc/1/fd"}));
  EXPECT_THAT(exec.output, Not(HasSubstr("-> /\n")));
  EXPECT_THAT(exec.output, Not(HasSubstr("socket")));
}

// CVE-2025-31133: /dev/null is swapped for a link before it is bound over a masked path.
TEST_F(LaunchSecurityTest, MaskingTrustsNoSwappedNull) {
  ASSERT_TRUE(MakeFolders(At("volume")).ok());
  ASSERT_TRUE(ReplaceFile(At("volume/tty"), "").ok());
  ASSERT_EQ(::symlink("/proc/sys/kernel/core_pattern", At("volume/null").c_str()), 0);
  AddVolume("/dev");
  config_["linux"]["maskedPaths"] = {"/etc/passwd"};
  ASSERT_TRUE(ReplaceFile(At("layer/etc/passwd"), "").ok());
  const UniqueFd io = *OpenFile("/dev/null", O_RDWR);
  const auto start = [&] {
    absl::StatusOr<Launch> launch =
        launcher_->Start(Request({io.get(), io.get(), io.get(), false}));
    EXPECT_TRUE(launch.ok()) << launch.status();
    const Outcome outcome = Wait(*launch);
    Reap(launch->pid);
    return outcome.status;
  };
  EXPECT_THAT(start().message(), HasSubstr("masked path /etc/passwd"));
  // A file or another device in its place.
  ASSERT_TRUE(RemoveFile(At("volume/null")).ok());
  ASSERT_TRUE(ReplaceFile(At("volume/null"), "").ok());
  EXPECT_THAT(start().message(), HasSubstr("not the null device"));
  ASSERT_TRUE(RemoveFile(At("volume/null")).ok());
  ASSERT_EQ(::mknod(At("volume/null").c_str(), S_IFCHR | 0666, makedev(1, 5)), 0);
  EXPECT_THAT(start().message(), HasSubstr("not the null device"));
  // The real one is taken.
  ASSERT_TRUE(RemoveFile(At("volume/null")).ok());
  ASSERT_EQ(::mknod(At("volume/null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  EXPECT_TRUE(start().ok());
}

TEST_F(LaunchSecurityTest, MissingStreamsTrustNoSwappedNull) {
  ASSERT_TRUE(MakeFolders(At("volume")).ok());
  ASSERT_EQ(::symlink("/etc/passwd", At("volume/null").c_str()), 0);
  AddVolume("/dev");
  config_["linux"]["maskedPaths"] = Json::array();
  EXPECT_FALSE(Run().status.ok());
}

// CVE-2025-52565: the terminal or /dev/console is swapped for a link before it is bound.
TEST_F(LaunchSecurityTest, TerminalTrustsNoNameInDevPts) {
  ASSERT_TRUE(MakeFolders(At("volume")).ok());
  ASSERT_EQ(::symlink("/proc/sysrq-trigger", At("volume/ptmx").c_str()), 0);
  DropMount("/dev/pts");
  AddVolume("/dev/pts");
  absl::StatusOr<Launch> launch = launcher_->Start(Request({-1, -1, -1, true}));
  ASSERT_TRUE(launch.ok());
  EXPECT_FALSE(Wait(*launch).status.ok());
  Reap(launch->pid);
  // The host's own terminal device, on another file system.
  ASSERT_TRUE(RemoveFile(At("volume/ptmx")).ok());
  ASSERT_EQ(::mknod(At("volume/ptmx").c_str(), S_IFCHR | 0666, makedev(5, 2)), 0);
  launch = launcher_->Start(Request({-1, -1, -1, true}));
  ASSERT_TRUE(launch.ok());
  EXPECT_FALSE(Wait(*launch).status.ok());
  Reap(launch->pid);
}

TEST_F(LaunchSecurityTest, ConsoleIsNoLink) {
  // An image's own /dev: nothing is mounted on it.
  DropMount("/dev");
  ASSERT_TRUE(MakeFolders(At("layer/dev/pts")).ok());
  ASSERT_TRUE(ReplaceFile(At("layer/data/target"), "x").ok());
  Link("/data/target", "dev/console");
  absl::StatusOr<Launch> launch = launcher_->Start(Request({-1, -1, -1, true}));
  ASSERT_TRUE(launch.ok());
  const Outcome outcome = Wait(*launch);
  Reap(launch->pid);
  EXPECT_FALSE(outcome.status.ok());
  EXPECT_THAT(outcome.status.message(), HasSubstr("console"));
}

// CVE-2025-52881: a write to procfs that lands in another file, because something is mounted there.
TEST_F(LaunchSecurityTest, SysctlsAreWrittenToProcfsOnly) {
  ASSERT_TRUE(ReplaceFile(At("decoy"), "").ok());
  ASSERT_EQ(::mount(At("decoy").c_str(), "/proc/sys/kernel/domainname", nullptr, MS_BIND, nullptr),
            0);
  config_["linux"]["sysctl"] = {{"kernel.domainname", "test"}};
  const Finished done = Run();
  ASSERT_EQ(::umount2("/proc/sys/kernel/domainname", MNT_DETACH), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(done.status)) << done.status;
  EXPECT_EQ(*ReadFile(At("decoy")), "");
  Shell("cat /proc/sys/kernel/domainname");
  EXPECT_EQ(Run().output, "test\n");
  EXPECT_NE(*ReadFile("/proc/sys/kernel/domainname"), "test\n");
}

TEST_F(LaunchSecurityTest, SysctlNamesStayBelowProcSys) {
  for (const char* name : {"../self/oom_score_adj", "net..ipv4", "net/../../self/comm", "/net/x"}) {
    config_["linux"]["sysctl"] = {{name, "1"}};
    EXPECT_FALSE(Run().status.ok()) << name;
  }
}

TEST_F(LaunchSecurityTest, DevicesAreNotMadeThroughLinks) {
  ASSERT_TRUE(MakeFolders(At("host")).ok());
  DropMount("/dev/pts");
  DropMount("/dev/mqueue");
  DropMount("/dev");
  Link(At("host"), "dev");
  const Finished done = Run();
  EXPECT_FALSE(PathExists(At("host/null"))) << done.status;
  // One that the image has in a device's place is not taken for it.
  ASSERT_TRUE(RemoveFile(At("layer/dev")).ok());
  ASSERT_TRUE(MakeFolders(At("layer/dev")).ok());
  ASSERT_TRUE(ReplaceFile(At("layer/dev/zero"), "x").ok());
  EXPECT_THAT(Run().status.message(), HasSubstr("/dev/zero"));
}

TEST_F(LaunchSecurityTest, CopyUpReadsInsideOnly) {
  ASSERT_TRUE(MakeFolders(At("host")).ok());
  ASSERT_TRUE(ReplaceFile(At("host/secret"), "secret").ok());
  Link(At("host"), "copied");
  AddMount(Mount("/copied", "tmpfs", "tmpfs", {"tmpcopyup"}));
  Shell("ls /copied");
  const Finished done = Run();
  EXPECT_THAT(done.output, Not(HasSubstr("secret")));
}

TEST_P(EverySecurityTest, TheHostsRootIsOutOfReach) {
  for (const char* set : {"bounding", "effective", "permitted"}) {
    config_["process"]["capabilities"][set].push_back("CAP_SYS_ADMIN");
    config_["process"]["capabilities"][set].push_back("CAP_SYS_PTRACE");
  }
  // Taking the root off shows nothing beneath it.
  Shell("umount -l / ; ls /proc/1/root/; cat /proc/1/mountinfo | wc -l; ls -d ../../../../tmp/cr*");
  const Finished done = Run();
  EXPECT_THAT(done.output, Not(HasSubstr("/tmp/crisp")));
}

}  // namespace
}  // namespace crisp
