// The real program crisp-monitor: containers from start to end, and its own life.
#include <signal.h>
#include <sys/wait.h>

#include "base/file.h"
#include "gmock/gmock.h"
#include "kernel/cgroup.h"
#include "monitor/exit_record.h"
#include "monitor/monitor_fixture.h"

namespace crisp {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(MonitorTest, RunsAContainer) {
  const monitor::Reply hello = StartMonitor();
  ASSERT_EQ(hello.code(), 0) << hello.message();
  EXPECT_EQ(hello.pod_id(), pod_id_);
  EXPECT_EQ(hello.monitor_pid(), monitor_);
  EXPECT_EQ(hello.pid(), 0);
  const monitor::Reply reply = Start("one", "echo out; echo err >&2; exit 3");
  ASSERT_EQ(reply.code(), 0) << reply.message();
  const auto exit = client_->WaitForExit("one");
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->exit_code(), 3);
  EXPECT_EQ(ReadExitRecord(Bundle("one"))->exit_code(), 3);
  EXPECT_THAT(ReadLog(LogPath("one")), testing::UnorderedElementsAre("out", "err"));
}

TEST_F(MonitorTest, IsADaemonThatIgnoresSignals) {
  StartMonitor();
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) kill(monitor_, signal);
  EXPECT_EQ(client_->Hello().code(), 0);
  const std::string proc = Cat("/proc/", monitor_);
  EXPECT_EQ(*ReadFile(proc + "/comm"), "crisp-monitor\n");
  EXPECT_EQ(getsid(monitor_), monitor_);
  char cwd[16] = {};
  ASSERT_EQ(readlink((proc + "/cwd").c_str(), cwd, sizeof cwd), 1);
  EXPECT_EQ(cwd[0], '/');
  // Lowering it takes CAP_SYS_RESOURCE.
  if (WriteExisting("/proc/self/oom_score_adj", "-1").ok()) {
    EXPECT_EQ(*ReadFile(proc + "/oom_score_adj"), "-998\n");
    EXPECT_TRUE(WriteExisting("/proc/self/oom_score_adj", "0").ok());
  }
  // Nothing of that reaches a container.
  Start("one",
        "cat /proc/self/status | while read -r a b; do case $a in Sig[BI]*) echo $a $b;; esac; "
        "done; cat /proc/self/oom_score_adj; ls /proc/self/fd | cat; umask");
  ASSERT_TRUE(client_->WaitForExit("one").has_value());
  // Signals 32 and 33 are the C library's own; whoever ran this test may have left them ignored.
  EXPECT_THAT(ReadLog(LogPath("one")),
              ElementsAre("SigBlk: 0000000000000000",
                          AnyOf("SigIgn: 0000000000000000", "SigIgn: 0000000180000000"), "0", "0",
                          "1", "2", "3", "0022"));
}

TEST_F(MonitorTest, AStartThatFailsLeavesNothing) {
  StartMonitor();
  Json config = ConfigOf("one", "");
  config["process"]["args"] = {"/bin/missing"};
  const monitor::Reply reply = client_->Call(StartOf("one", config));
  EXPECT_EQ(reply.code(), CodeOf(absl::StatusCode::kNotFound)) << reply.message();
  EXPECT_THAT(reply.message(), HasSubstr("/bin/missing"));
  const auto exit = client_->WaitForExit("one");
  ASSERT_TRUE(exit.has_value());
  EXPECT_TRUE(exit->never_ran());
  EXPECT_EQ(exit->exit_code(), 128);
  EXPECT_FALSE(Cgroup(*tree_, CgroupPath("one")).Exists());
  EXPECT_EQ(client_->Call(StartOf("two", Json("no object"))).code() != 0, true);
}

TEST_F(MonitorTest, SurvivesItsDaemonAndTellsTheNextOne) {
  // The daemon is a process of its own here, which is killed.
  const pid_t daemon = fork();
  if (daemon == 0) {
    StartMonitor();
    if (Start("one", "i=0; while :; do echo line $i; i=$((i+1)); usleep 1000; done").code() != 0 ||
        Start("two", "usleep 300000; echo late; exit 5").code() != 0) {
      _exit(1);
    }
    client_->Call(ExecOf("one", "left", "exec sleep 1000"));
    monitor::Request bound = ExecOf("one", "bound", "exec sleep 1000");
    bound.mutable_exec()->set_end_with_connection(true);
    client_->Call(bound);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(daemon, &status, 0), daemon);
  ASSERT_TRUE(WIFSIGNALED(status));

  client_ = Connect();
  ASSERT_TRUE(client_->Until([&] { return PathExists(ExitRecordPath(Bundle("two"))); }));
  const monitor::Reply hello = client_->Hello();
  ASSERT_EQ(hello.code(), 0);
  ASSERT_EQ(hello.containers_size(), 2);
  EXPECT_FALSE(hello.containers(0).exited());
  EXPECT_GT(hello.containers(0).pid(), 0);
  EXPECT_TRUE(hello.containers(1).exited());
  EXPECT_EQ(hello.containers(1).exit().exit_code(), 5);
  EXPECT_THAT(ReadLog(LogPath("two")), ElementsAre("late"));
  EXPECT_TRUE(client_->Until([&] { return client_->Hello().execs_size() == 1; }));
  EXPECT_EQ(client_->Hello().execs(0).exec_id(), "left");

  EXPECT_EQ(Signal("one", SIGKILL).code(), 0);
  EXPECT_EQ(client_->WaitForExit("one")->exit_code(), 128 + SIGKILL);
  const std::vector<std::string> lines = ReadLog(LogPath("one"));
  EXPECT_GT(lines.size(), 10u);
  for (size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i], Cat("line ", i));

  // It is no child of this process, so its end shows in the connection.
  monitor::Request shutdown;
  shutdown.mutable_shutdown();
  EXPECT_EQ(client_->Call(shutdown).code(), 0);
  EXPECT_TRUE(client_->Until([&] { return client_->peer_closed(); }));
}

TEST_F(MonitorTest, SeesThatMemoryRanOut) {
  StartMonitor();
  Json config = ConfigOf("one", "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo survived");
  config["linux"]["resources"]["memory"]["limit"] = 24 << 20;
  ASSERT_EQ(client_->Call(StartOf("one", config)).code(), 0);
  ASSERT_EQ(Start("two", "kill -9 $$; sleep 1; exit 9").code(), 0);
  const auto exit = client_->WaitForExit("one");
  ASSERT_TRUE(exit.has_value());
  EXPECT_TRUE(exit->oom_killed());
  EXPECT_EQ(exit->exit_code(), 137);
  EXPECT_TRUE(ReadExitRecord(Bundle("one"))->oom_killed());
  monitor::Request list;
  list.mutable_list();
  ASSERT_TRUE(client_->Until([&] { return PathExists(ExitRecordPath(Bundle("two"))); }));
  EXPECT_FALSE(ReadExitRecord(Bundle("two"))->oom_killed());
}

TEST_F(MonitorTest, KillsWhatAContainerWithoutItsOwnPidNamespaceLeaves) {
  StartMonitor();
  Json config = ConfigOf("one", "setsid sleep 1000 & echo left; exit 0");
  config.erase("hostname");
  config["linux"]["namespaces"] = Json::array({{{"type", "mount"}}});
  ASSERT_EQ(client_->Call(StartOf("one", config)).code(), 0);
  ASSERT_TRUE(client_->WaitForExit("one").has_value());
  EXPECT_TRUE(client_->Until([&] { return ProcessesOf("one") == 0; }));
  EXPECT_THAT(ReadLog(LogPath("one")), ElementsAre("left"));
}

TEST_F(MonitorTest, StaysSmall) {
  StartMonitor();
  ASSERT_EQ(Start("one",
                  "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; exec "
                  "sleep 1000")
                .code(),
            0);
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(client_->Call(ExecOf("one", Cat("e", i), "exit 0")).code(), 0);
    ASSERT_TRUE(client_->WaitForExec(Cat("e", i)).has_value());
  }
  LogOf("one", 2000);
  const std::string path = Cat("/proc/", monitor_, "/smaps_rollup");
  const auto private_kib = [&path] {
    const absl::StatusOr<std::string> text = ReadFile(path);
    int64_t sum = 0;
    for (const std::string_view name : {"Private_Dirty:", "Private_Clean:"}) {
      const size_t at = text->find(name);
      if (at != std::string::npos) sum += atoll(text->c_str() + at + name.size());
    }
    return sum;
  };
  // The program's own pages are private as long as one monitor runs, so only a bound on growth.
  RecordProperty("private_kib", static_cast<int>(private_kib()));
#ifndef CRISP_SANITIZED  // whose own memory is many times that
  EXPECT_LT(private_kib(), 4096);
#endif
}

}  // namespace
}  // namespace crisp
