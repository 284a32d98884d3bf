// Recovery: the daemon is closed without a word and opened again, with the world changed in
// between.
#include "pod/recovery.h"

#include <signal.h>
#include <sys/mount.h>

#include "base/file.h"
#include "base/id.h"
#include "base/text.h"
#include "gmock/gmock.h"
#include "pod/pod_fixture.h"

namespace crisp {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class RecoveryTest : public PodTest {
 protected:
  pid_t MonitorOf(const std::string& pod) {
    return static_cast<pid_t>(JsonInt(PodInfo(pod), "monitorPid"));
  }
};

TEST_F(RecoveryTest, RunningContainersGoOn) {
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "1000"});
  const std::string ip = PodStatus(pod).network().ip();
  const int64_t started = Status(id).started_at();
  Restart();
  EXPECT_EQ(PodStatus(pod).state(), v1::SANDBOX_READY);
  EXPECT_EQ(PodStatus(pod).network().ip(), ip);
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_RUNNING);
  EXPECT_EQ(Status(id).started_at(), started);
  EXPECT_EQ(Exec(id, {"echo", "hello"})->stdout(), "hello\n");
  EXPECT_TRUE(Stop(id, 0).ok());
  EXPECT_EQ(Status(id).exit_code(), 137);
}

TEST_F(RecoveryTest, ACreatedContainerCanStillBeStarted) {
  const std::string pod = RunPod("web");
  const std::string id = Create(pod, "main", {"sleep", "1000"});
  Restart();
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_CREATED);
  EXPECT_TRUE(Start(id).ok());
}

TEST_F(RecoveryTest, ExitsOfTheTimeBetweenAreThere) {
  const std::string pod = RunPod("web");
  const std::string id = Running(
      pod, "main",
      {"sh", "-c", "while ! test -e /tmp/go; do usleep 10000; done; echo last words; exit 42"});
  EXPECT_TRUE(Exec(id, {"sh", "-c", "(usleep 300000; touch /tmp/go) >/dev/null 2>&1 &"}).ok());
  CloseRuntime();
  while (Log("main").find("last words") == std::string::npos) absl::SleepFor(absl::Milliseconds(5));
  OpenRuntime();
  const v1::ContainerStatus status = Await(id, v1::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 42);
  EXPECT_EQ(status.reason(), "Error");
}

TEST_F(RecoveryTest, ADeadMonitorEndsItsPod) {
  const auto before = Traces();
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "31415"});
  kill(MonitorOf(pod), SIGKILL);
  const v1::ContainerStatus status = Await(id, v1::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 255);
  EXPECT_EQ(status.reason(), "Unknown");
  EXPECT_EQ(PodStatus(pod).state(), v1::SANDBOX_NOTREADY);
  EXPECT_TRUE(RemovePod(pod).ok());
  ExpectNoTraces(before);
}

TEST_F(RecoveryTest, AMonitorThatDiedMeanwhileEndsItsPod) {
  const auto before = Traces();
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "31415"});
  const std::string created = Create(pod, "created", {"true"});
  const pid_t monitor = MonitorOf(pod);
  CloseRuntime();
  kill(monitor, SIGKILL);
  OpenRuntime();
  EXPECT_EQ(Status(id).exit_code(), 255);
  EXPECT_EQ(Status(id).reason(), "Unknown");
  EXPECT_EQ(PodStatus(pod).state(), v1::SANDBOX_NOTREADY);
  EXPECT_TRUE(RemovePod(pod).ok());
  ExpectNoTraces(before);
}

TEST_F(RecoveryTest, AMonitorThatHangsIsKilled) {
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "31415"});
  const pid_t monitor = MonitorOf(pod);
  CloseRuntime();
  kill(monitor, SIGSTOP);
  OpenRuntime();
  EXPECT_EQ(Status(id).reason(), "Unknown");
  EXPECT_EQ(PodStatus(pod).state(), v1::SANDBOX_NOTREADY);
}

TEST_F(RecoveryTest, AnInterruptedRunIsRolledBack) {
  const auto before = Traces();
  const std::string pod = RunPod("web");
  CloseRuntime();
  EditPod(pod, [](record::Pod& record) {
    record.set_phase(record::POD_CREATING);
    record.clear_network_json();
    record.clear_ips();
    record.clear_monitor_pid();
  });
  OpenRuntime();
  EXPECT_THAT(Pods(), IsEmpty());
  ExpectNoTraces(before);
  EXPECT_NE(RunPod("web"), pod);
}

TEST_F(RecoveryTest, AnInterruptedStopIsFinished) {
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "1000"});
  CloseRuntime();
  EditPod(pod, [](record::Pod& record) { record.set_phase(record::POD_STOPPING); });
  OpenRuntime();
  EXPECT_EQ(PodStatus(pod).state(), v1::SANDBOX_NOTREADY);
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_EXITED);
  EXPECT_FALSE(PathExists(At(Cat("netns/", "crisp-", pod.substr(0, 32)))));
}

TEST_F(RecoveryTest, AnInterruptedRemovalIsFinished) {
  const auto before = Traces();
  const std::string pod = RunPod("web");
  const std::string id = Create(pod, "main", {"sleep", "1000"});
  CloseRuntime();
  EditContainer(id,
                [](record::Container& record) { record.set_phase(record::CONTAINER_REMOVING); });
  OpenRuntime();
  EXPECT_THAT(Containers(), IsEmpty());
  EXPECT_TRUE(StopPod(pod).ok());
  CloseRuntime();
  EditPod(pod, [](record::Pod& record) { record.set_phase(record::POD_REMOVING); });
  OpenRuntime();
  EXPECT_THAT(Pods(), IsEmpty());
  ExpectNoTraces(before);
}

TEST_F(RecoveryTest, AStartThatWasNeverAskedForIsForgotten) {
  const std::string pod = RunPod("web");
  const std::string id = Create(pod, "main", {"sleep", "1000"});
  CloseRuntime();
  EditContainer(id,
                [](record::Container& record) { record.set_phase(record::CONTAINER_STARTING); });
  OpenRuntime();
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_CREATED);
  EXPECT_TRUE(Start(id).ok());
}

TEST_F(RecoveryTest, AStartWhoseAnswerWasLostIsTakenOver) {
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "1000"});
  CloseRuntime();
  EditContainer(id, [](record::Container& record) {
    record.set_phase(record::CONTAINER_STARTING);
    record.clear_pid();
    record.clear_started_at();
  });
  OpenRuntime();
  EXPECT_EQ(Await(id, v1::CONTAINER_RUNNING).state(), v1::CONTAINER_RUNNING);
  EXPECT_GT(Status(id).started_at(), 0);
  EXPECT_TRUE(Exec(id, {"true"}).ok());
}

TEST_F(RecoveryTest, AnInterruptedCreateIsRolledBack) {
  const std::string pod = RunPod("web");
  const auto before = Traces();
  const std::string id = Create(pod, "main", {"sleep", "1000"});
  CloseRuntime();
  EditContainer(id,
                [](record::Container& record) { record.set_phase(record::CONTAINER_CREATING); });
  OpenRuntime();
  ExpectNoTraces(before);
  EXPECT_NE(Create(pod, "main", {"sleep", "1000"}), id);
}

TEST_F(RecoveryTest, AfterARebootNothingRuns) {
  const std::string pod = RunPod("web");
  const std::string up = Running(pod, "up", {"sleep", "31415"});
  const std::string created = Create(pod, "created", {"true"});
  const pid_t monitor = MonitorOf(pod);
  CloseRuntime();
  kill(monitor, SIGKILL);
  EditPod(pod, [](record::Pod& record) { record.set_boot_id("another"); });
  OpenRuntime();
  EXPECT_EQ(PodStatus(pod).state(), v1::SANDBOX_NOTREADY);
  for (const std::string& id : {up, created}) {
    EXPECT_EQ(Status(id).state(), v1::CONTAINER_EXITED);
    EXPECT_EQ(Status(id).exit_code(), 255);
    EXPECT_EQ(Status(id).reason(), "Unknown");
  }
  EXPECT_TRUE(RemovePod(pod).ok());
}

TEST_F(RecoveryTest, WhatNoRecordNamesIsSwept) {
  const auto before = Traces();
  const std::string pod = RunPod("web");
  Running(pod, "main", {"sleep", "31415"});
  CloseRuntime();
  {
    auto database = Database::Open(At("root/crisp.db"));
    ASSERT_TRUE((*database)->Run("DELETE FROM pod").ok());
    ASSERT_TRUE((*database)->Run("DELETE FROM container").ok());
  }
  OpenRuntime();
  EXPECT_THAT(Pods(), IsEmpty());
  ExpectNoTraces(before);
}

TEST_F(RecoveryTest, ADamagedRecordDoesNotStopTheOthers) {
  const std::string bad = RunPod("bad");
  Running(bad, "main", {"sleep", "31415"});
  const std::string good = RunPod("good");
  const std::string id = Running(good, "main", {"sleep", "31415"});
  CloseRuntime();
  {
    auto database = Database::Open(At("root/crisp.db"));
    ASSERT_TRUE(
        (*database)->Run("UPDATE pod SET data=? WHERE id=?", Blob("\xff\xff\xff"), bad).ok());
  }
  OpenRuntime();
  ASSERT_NE(runtime_, nullptr);
  EXPECT_THAT(Pods(), SizeIs(1));
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_RUNNING);
  ExpectNoTraceOf(bad);
}

TEST_F(RecoveryTest, ALostDatabaseDoesNotStopTheDaemon) {
  const auto before = Traces();
  const std::string pod = RunPod("web");
  Running(pod, "main", {"sleep", "31415"});
  CloseRuntime();
  ASSERT_TRUE(ReplaceFile(At("root/crisp.db"), std::string(10000, 'x')).ok());
  // The log stays when a database is closed, and SQLite would restore the pages that it holds.
  ASSERT_TRUE(RemoveFile(At("root/crisp.db-wal")).ok());
  OpenRuntime();
  ASSERT_NE(runtime_, nullptr);
  EXPECT_THAT(Pods(), IsEmpty());
  ExpectNoTraceOf(pod);
}

TEST(PodOfMonitor, ReadsACommandLine) {
  const std::string id(64, 'a');
  const auto line = [&](std::string_view program) {
    return Cat(program, std::string(1, '\0'), "--pod", std::string(1, '\0'), id,
               std::string(1, '\0'));
  };
  EXPECT_EQ(PodOfMonitor(line("crisp-monitor")), id);
  EXPECT_EQ(PodOfMonitor(line("sleep")), "");
  EXPECT_EQ(PodOfMonitor("crisp-monitor"), "");
  EXPECT_EQ(PodOfMonitor(""), "");
}

}  // namespace
}  // namespace crisp
