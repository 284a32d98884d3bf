// The process itself: user, capabilities, limits, seccomp, terminal, exec.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cstddef>

#include "launch/launch_fixture.h"

namespace crisp {
namespace {

using testing::HasSubstr;
using testing::Not;

class LaunchProcessTest : public LaunchTest {
 protected:
  void AsUser(int uid, int gid, std::vector<int> groups) {
    config_["process"]["user"] = {{"uid", uid}, {"gid", gid}, {"additionalGids", groups}};
  }
  // A filter under which these system calls fail with EPERM.
  void Forbid(const std::vector<unsigned>& calls) {
    std::vector<struct sock_filter> program = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (const unsigned call : calls) {
      program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
      program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
    }
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    const std::string bytes(reinterpret_cast<const char*>(program.data()),
                            program.size() * sizeof program[0]);
    seccomp_ = At("filter.bpf");
    ASSERT_TRUE(ReplaceFile(seccomp_, bytes).ok());
  }
  // Gives up after 20 s, so that a failure is no hang.
  static std::string ReadUntil(int fd, std::string_view end) {
    std::string text;
    struct pollfd ready = {fd, POLLIN, 0};
    char byte;
    while (text.find(end) == std::string::npos && ::poll(&ready, 1, 20000) == 1 &&
           ::read(fd, &byte, 1) == 1) {
      text += byte;
    }
    return text;
  }
};

using EveryProcessTest = OnEveryRuntime<LaunchProcessTest>;
INSTANTIATE_TEST_SUITE_P(Runtimes, EveryProcessTest, EveryRuntime(), RuntimeName);

TEST_P(EveryProcessTest, UserGroupsAndUmask) {
  AsUser(1000, 1001, {1001, 7, 8});
  config_["process"]["user"]["umask"] = 0027;
  Shell("id -u; id -g; id -G; umask; grep Cap /proc/self/status");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr("1000\n1001\n1001 7 8\n0027\n"));
  EXPECT_THAT(done.output, HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(done.output, HasSubstr("CapPrm:\t0000000000000000"));
  EXPECT_THAT(done.output, HasSubstr("CapBnd:\t00000000000400e3"));
}

TEST_F(LaunchProcessTest, RootHasItsFiveSets) {
  Shell("grep Cap /proc/self/status");
  const Finished done = Run();
  EXPECT_EQ(done.output,
            "CapInh:\t0000000000000000\nCapPrm:\t00000000000400e3\nCapEff:\t00000000000400e3\n"
            "CapBnd:\t00000000000400e3\nCapAmb:\t0000000000000000\n");
}

TEST_P(EveryProcessTest, AmbientReachesAUser) {
  AsUser(1000, 1000, {});
  for (const char* set : {"inheritable", "ambient"}) {
    config_["process"]["capabilities"][set] = {"CAP_CHOWN"};
  }
  Shell("grep Cap /proc/self/status");
  const Finished done = Run();
  EXPECT_THAT(done.output, HasSubstr("CapEff:\t0000000000000001"));
  EXPECT_THAT(done.output, HasSubstr("CapAmb:\t0000000000000001"));
}

TEST_F(LaunchProcessTest, CapabilitiesThatThisHostLacksAreLeftOut) {
  Json all = Json::array();
  for (const char* name : {"CAP_SYS_RESOURCE", "CAP_SYS_ADMIN", "CAP_NET_ADMIN",
                           "CAP_CHECKPOINT_RESTORE", "CAP_BPF"}) {
    all.push_back(name);
  }
  for (const char* set : {"bounding", "effective", "permitted", "inheritable", "ambient"}) {
    config_["process"]["capabilities"][set] = all;
  }
  Shell("grep CapEff /proc/self/status");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.code, 0);
}

TEST_P(EveryProcessTest, WithoutCapabilitiesThereAreNone) {
  config_["process"].erase("capabilities");
  Shell("grep Cap /proc/self/status");
  const Finished done = Run();
  EXPECT_THAT(done.output, HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(done.output, HasSubstr("CapBnd:\t0000000000000000"));
}

TEST_F(LaunchProcessTest, SeccompHoldsWithAndWithoutNoNewPrivileges) {
  Forbid({SYS_mkdir, SYS_mkdirat});
  Shell("mkdir /data/x; grep -E 'Seccomp:|NoNewPrivs|CapEff|CapPrm' /proc/self/status");
  for (const bool no_new_privileges : {false, true}) {
    config_["process"]["noNewPrivileges"] = no_new_privileges;
    for (const int uid : {0, 1000}) {
      AsUser(uid, uid, {});
      const Finished done = Run();
      ASSERT_TRUE(done.status.ok()) << done.status;
      EXPECT_THAT(done.output, HasSubstr("Operation not permitted"));
      EXPECT_THAT(done.output, HasSubstr("Seccomp:\t2"));
      EXPECT_THAT(done.output, HasSubstr(Cat("NoNewPrivs:\t", no_new_privileges ? 1 : 0)));
      // What was kept to load the filter is gone.
      const char* caps = uid == 0 ? "00000000000400e3" : "0000000000000000";
      EXPECT_THAT(done.output, HasSubstr(Cat("CapEff:\t", caps)));
      EXPECT_THAT(done.output, HasSubstr(Cat("CapPrm:\t", caps)));
    }
  }
}

TEST_F(LaunchProcessTest, SeccompJudgesNoCallOfTheLauncher) {
  // All that set-up needs: only execve and what busybox does are left.
  Forbid({SYS_capset, SYS_setresuid, SYS_setresgid, SYS_setgroups, SYS_prctl, SYS_chdir, SYS_fchdir,
          SYS_openat2, SYS_sendmsg, SYS_close_range, SYS_setrlimit, SYS_pivot_root});
  AsUser(1000, 1000, {});
  config_["process"]["args"] = {"/bin/echo", "ran"};
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.output, "ran\n");
}

TEST_F(LaunchProcessTest, DamagedSeccompFilterFailsTheStart) {
  seccomp_ = At("filter.bpf");
  EXPECT_THAT(Run().status.message(), HasSubstr("filter.bpf"));
  ASSERT_TRUE(ReplaceFile(seccomp_, "12345").ok());
  EXPECT_THAT(Run().status.message(), HasSubstr("damaged"));
  ASSERT_TRUE(ReplaceFile(seccomp_, std::string(16, '\xff')).ok());
  EXPECT_FALSE(Run().status.ok());
}

TEST_F(LaunchProcessTest, LimitsAreSetAndClamped) {
  struct rlimit now = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &now), 0);
  config_["process"]["rlimits"] = {
      {{"type", "RLIMIT_CORE"}, {"soft", 0}, {"hard", 0}},
      {{"type", "RLIMIT_NOFILE"}, {"soft", 1ull << 40}, {"hard", 18446744073709551615ull}}};
  Shell("ulimit -c; ulimit -H -n");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.output, Cat("0\n", now.rlim_max, "\n"));
  config_["process"]["rlimits"] = {{{"type", "RLIMIT_ODD"}, {"soft", 0}, {"hard", 0}}};
  EXPECT_TRUE(absl::IsInvalidArgument(Run().status));
}

TEST_P(EveryProcessTest, OomScoreIsSet) {
  Shell("cat /proc/self/oom_score_adj");
  config_["process"]["oomScoreAdj"] = 321;
  EXPECT_EQ(Run().output, "321\n");
}

TEST_F(LaunchProcessTest, OomScoreIsClamped) {
  config_["process"]["oomScoreAdj"] = -999;
  const Finished low = Run();
  EXPECT_TRUE(low.status.ok()) << low.status;
}

TEST_P(EveryProcessTest, WorkingDirectoryIsMade) {
  config_["process"]["cwd"] = "/new/deep/folder";
  Shell("pwd; stat -c %a /new/deep");
  const Finished done = Run();
  EXPECT_EQ(done.output, "/new/deep/folder\n755\n");
}

TEST_P(EveryProcessTest, ProgramIsFoundInTheContainersPath) {
  ASSERT_TRUE(ReplaceFile(At("layer/data/tool"), "#!/bin/sh\necho tool $1\n", 0755).ok());
  config_["process"]["env"] = {"PATH=/absent:/data:/bin", "X=y"};
  config_["process"]["args"] = {"tool", "one"};
  EXPECT_EQ(Run().output, "tool one\n");
  config_["process"]["args"] = {"env"};
  EXPECT_THAT(Run().output, HasSubstr("PATH=/absent:/data:/bin\nX=y\n"));
}

TEST_P(EveryProcessTest, SignalsAreDefault) {
  ::signal(SIGPIPE, SIG_IGN);
  // Also those that the C library keeps to itself.
  const unsigned long ignore[4] = {reinterpret_cast<unsigned long>(SIG_IGN)};
  unsigned long before[4] = {};
  ::syscall(SYS_rt_sigaction, SIGRTMIN - 1, ignore, before, (_NSIG - 1) / 8);
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
  config_["process"]["args"] = {"grep", "-E", "SigBlk|SigIgn", "/proc/self/status"};
  const Finished done = Run();
  ::sigprocmask(SIG_UNBLOCK, &blocked, nullptr);
  ::syscall(SYS_rt_sigaction, SIGRTMIN - 1, before, nullptr, (_NSIG - 1) / 8);
  EXPECT_EQ(done.output, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_P(EveryProcessTest, StandardStreamsAreTheUsers) {
  AsUser(1000, 1000, {});
  Shell("echo through > /dev/stdout");
  const Finished done = Run();
  EXPECT_EQ(done.output, "through\n");
  EXPECT_EQ(done.code, 0);
}

TEST_P(EveryProcessTest, MissingStreamsAreTheNullDevice) {
  Shell("readlink /proc/self/fd/0; cat");
  EXPECT_EQ(Run().output, "/dev/null\n");
}

TEST_P(EveryProcessTest, HasATerminal) {
  config_["process"]["terminal"] = true;
  config_["process"]["consoleSize"] = {{"width", 91}, {"height", 37}};
  Shell("tty; stty size; test -c /dev/console && echo console; read line; echo got $line");
  absl::StatusOr<Launch> launch = launcher_->Start(Request({-1, -1, -1, true}));
  ASSERT_TRUE(launch.ok()) << launch.status();
  Outcome outcome = Wait(*launch);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ASSERT_TRUE(outcome.terminal.valid());
  const std::string start = ReadUntil(outcome.terminal.get(), "console\r\n");
  EXPECT_THAT(start, HasSubstr("/dev/pts/0\r\n37 91\r\n"));
  ASSERT_EQ(::write(outcome.terminal.get(), "word\n", 5), 5);
  EXPECT_THAT(ReadUntil(outcome.terminal.get(), "got word"), HasSubstr("got word"));
  Reap(launch->pid);
}

TEST_P(EveryProcessTest, ExecJoinsTheContainer) {
  StartRunning("echo up; exec sleep 1000");
  const Finished done =
      Exec(ExecProcess({"sh", "-c", "hostname; ps; cat /proc/self/cgroup; ls /proc/self/fd"}));
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr("box\n"));
  EXPECT_THAT(done.output, HasSubstr("sleep 1000"));
  EXPECT_EQ(done.code, 0);
}

TEST_F(LaunchProcessTest, ExecHasUserCapabilitiesAndSeccomp) {
  StartRunning("echo up; exec sleep 1000");
  Forbid({SYS_mkdir});
  Json process = ExecProcess(
      {"sh", "-c", "id -u; pwd; mkdir /tmp/x; grep -E 'CapEff|CapBnd|Seccomp:' /proc/self/status"});
  process["user"] = {{"uid", 55}, {"gid", 66}};
  process["cwd"] = "/tmp";
  const Finished done = Exec(process);
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr("55\n/tmp\n"));
  EXPECT_THAT(done.output, HasSubstr("Operation not permitted"));
  EXPECT_THAT(done.output, HasSubstr("CapEff:\t0000000000000000\nCapBnd:\t00000000000400e3\n"));
}

TEST_P(EveryProcessTest, ExecsCanBeToldApartAndKilled) {
  StartRunning("echo up; exec sleep 1000");
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  UniqueFd read_end(pipe[0]), write_end(pipe[1]);
  absl::StatusOr<Launch> launch = launcher_->Exec(
      ExecOf(ExecProcess({"sh", "-c", "sleep 1000 & echo ok; wait"}), {-1, write_end.get(), -1}));
  ASSERT_TRUE(launch.ok()) << launch.status();
  ASSERT_TRUE(Wait(*launch).status.ok());
  EXPECT_EQ(ReadUntil(read_end.get(), "\n"), "ok\n");
  const Cgroup exec = Cgroup(*tree_, CgroupPath()).ForExec("e1");
  EXPECT_EQ(exec.Processes()->size(), 2u);
  ASSERT_TRUE(exec.Kill(SIGKILL).ok());
  EXPECT_EQ(Reap(launch->pid), 128 + SIGKILL);
  write_end.reset();
  EXPECT_EQ(Drain(read_end.get()), "");  // the background process is gone as well
  EXPECT_EQ(::kill(running_[0].pid, 0), 0);
  EXPECT_TRUE(exec.Remove().ok());
}

TEST_P(EveryProcessTest, ExecHasATerminal) {
  StartRunning("echo up; exec sleep 1000");
  Json process = ExecProcess({"tty"});
  process["terminal"] = true;
  absl::StatusOr<Launch> launch = launcher_->Exec(ExecOf(process, {-1, -1, -1, true}));
  ASSERT_TRUE(launch.ok()) << launch.status();
  Outcome outcome = Wait(*launch);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(ReadUntil(outcome.terminal.get(), "\n"), "/dev/pts/0\r\n");
  EXPECT_EQ(Reap(launch->pid), 0);
}

TEST_F(LaunchProcessTest, FailedExecLeavesNothing) {
  StartRunning("echo up; exec sleep 1000");
  const auto fails = [&](const Json& process) {
    const Finished done =
        Finish([&](ProcessIo io) { return launcher_->Exec(ExecOf(process, io)); });
    EXPECT_FALSE(done.status.ok());
    EXPECT_FALSE(Cgroup(*tree_, CgroupPath()).ForExec("e1").Exists());
    return done.status;
  };
  EXPECT_TRUE(absl::IsNotFound(fails(ExecProcess({"/absent"}))));
  EXPECT_TRUE(absl::IsNotFound(fails(ExecProcess({"absent"}))));
  Json process = ExecProcess({"true"});
  process["cwd"] = "/absent";
  EXPECT_THAT(fails(process).message(), HasSubstr("working directory \"/absent\""));
  EXPECT_FALSE(fails("text").ok());
}

TEST_P(EveryProcessTest, ExecInADeadContainerIsFailedPrecondition) {
  StartRunning("echo up; exec sleep 1000");
  ::kill(running_[0].pid, SIGKILL);
  // By its descriptor, as a process of crun's own may be its parent for a moment yet.
  struct pollfd end = {running_[0].pidfd.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&end, 1, -1), 1);
  const Finished done = Exec(ExecProcess({"true"}));
  EXPECT_TRUE(absl::IsFailedPrecondition(done.status)) << done.status;
}

// A sandboxed runtime that gives up leaves nobody behind who would still start the exec.
TEST_F(LaunchProcessTest, ALateExecIsEnded) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
  StartRunning("echo up; sleep 1000");
  ASSERT_TRUE(MakeFolders(At("bundle/oci")).ok());
  ASSERT_TRUE(
      ReplaceFile(At("late"), "#!/bin/sh\nsleep 60 &\necho $! >late.pid\nexit 1\n", 0755).ok());
  ExecRequest request = ExecOf(ExecProcess({"/bin/true"}), ProcessIo());
  request.runtime = {At("late"), {}, true};
  absl::StatusOr<Launch> launch = launcher_->Exec(request);
  ASSERT_TRUE(launch.ok()) << launch.status();
  EXPECT_FALSE(Wait(*launch).status.ok());
  Reap(launch->pid);
  EXPECT_EQ(Reap(std::stoi(ReadFile(At("bundle/late.pid")).value_or("0"))), 137);
}

// The runtime's kill is of a group in the sandbox, and stops when there is nothing to kill any
// more.
TEST_F(LaunchProcessTest, AKillNamesAGroupAndEndsWithTheExec) {
  StartRunning("echo up; sleep 1000");
  ASSERT_TRUE(MakeFolders(At("bundle/oci")).ok());
  ASSERT_TRUE(ReplaceFile(At("kill"), "#!/bin/sh\necho \"$*\" >said\nexec sleep 60\n", 0755).ok());
  KillRequest request{id_, At("bundle"), "e1", {At("kill"), {}, true}, 0, running_[0].pidfd.get()};
  absl::StatusOr<Launch> launch = launcher_->Kill(request);
  ASSERT_TRUE(launch.ok()) << launch.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(Wait(*launch).status));
  EXPECT_NE(Reap(launch->pid), 0);
  EXPECT_FALSE(PathExists(At("bundle/said")));

  UniqueFd exec(::eventfd(0, EFD_CLOEXEC));  // as a pidfd of what runs
  request.inner = 7;
  request.pidfd = exec.get();
  launch = launcher_->Kill(request);
  ASSERT_TRUE(launch.ok()) << launch.status();
  while (ReadFile(At("bundle/said")).value_or("").empty()) ::usleep(10000);
  ASSERT_EQ(::eventfd_write(exec.get(), 1), 0);
  EXPECT_EQ(Reap(launch->pid), 0);
  EXPECT_THAT(ReadFile(At("bundle/said")).value_or(""),
              HasSubstr(Cat("kill --pgid 7 ", id_, " KILL")));
}

}  // namespace
}  // namespace crisp
