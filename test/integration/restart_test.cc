// crispd dies (kill -9) or is restarted: pods go on, exits that happened meanwhile are known, logs
// are whole, and what was half done is finished or undone.
#include <signal.h>
#include <sys/mount.h>

#include <random>
#include <thread>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/text.h"
#include "bench/process_usage.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class Restart : public NodeTest {
 protected:
  void KillAndStart() {
    daemon().Kill();
    ASSERT_THAT(daemon().Start(), IsOk());
  }
};

TEST_F(Restart, EverythingGoesOn) {
  const Pod pod = RunPod("goes-on");
  const std::string running = StartIdle(pod, "running");
  const std::string created = Create(pod, ContainerConfig("created", Shell("echo made before")));
  const std::string exited = Start(pod, "exited", Shell("exit 9"));
  WaitExited(exited);
  const v1::PodSandboxStatus before = Must(cri().PodStatus(pod.id));
  const std::string container_before = Must(cri().ContainerStatus(running)).SerializeAsString();
  const std::string host =
      Exec(running, "cat /proc/sys/kernel/random/boot_id; echo $$ > /tmp/mark");

  KillAndStart();
  EXPECT_EQ(Must(cri().PodStatus(pod.id)).SerializeAsString(), before.SerializeAsString());
  EXPECT_EQ(Must(cri().ContainerStatus(running)).SerializeAsString(), container_before);
  EXPECT_EQ(Must(cri().ContainerStatus(created)).state(), v1::CONTAINER_CREATED);
  EXPECT_EQ(Must(cri().ContainerStatus(exited)).exit_code(), 9);
  EXPECT_THAT(Exec(running, "cat /tmp/mark"), Not(IsEmpty()));
  EXPECT_THAT(cri().StartContainer(created), IsOk());
  EXPECT_EQ(WaitExited(created).exit_code(), 0);
  EXPECT_EQ(LogText(LogPath(pod, "created")), "made before\n");
  EXPECT_EQ(Must(cri().RunPod(pod.config)), pod.id);
  EXPECT_THAT(cri().StopContainer(running, 10), IsOk());
  EXPECT_EQ(Must(cri().ContainerStatus(running)).exit_code(), 0);
}

TEST_F(Restart, ExitsOfTheMeantimeAreKnown) {
  const Pod pod = RunPod("meantime");
  const std::string seven = Start(pod, "seven", Shell("sleep 0.5; exit 7"));
  const std::string killed = Start(pod, "killed", Shell("sleep 0.5; kill -9 -1; exit 1"));
  const std::string lives = StartIdle(pod, "lives");
  daemon().Kill();
  absl::SleepFor(absl::Seconds(1.5));
  ASSERT_THAT(daemon().Start(), IsOk());
  const v1::ContainerStatus status = WaitExited(seven);
  EXPECT_EQ(status.exit_code(), 7);
  EXPECT_EQ(status.reason(), "Error");
  EXPECT_GT(status.finished_at(), status.started_at());
  WaitExited(killed);
  EXPECT_EQ(Must(cri().ContainerStatus(lives)).state(), v1::CONTAINER_RUNNING);
}

TEST_F(Restart, LogsAreWhole) {
  const Pod pod = RunPod("logs");
  const std::string id = Start(
      pod, "main", Shell("n=0; while [ $n -lt 3000 ]; do n=$((n+1)); echo $n; sleep 0.001; done"));
  for (int i = 0; i < 4; ++i) {
    daemon().Kill();
    absl::SleepFor(absl::Milliseconds(300));
    ASSERT_THAT(daemon().Start(), IsOk());
  }
  EXPECT_EQ(WaitExited(id).exit_code(), 0);
  std::string expected;
  for (int i = 1; i <= 3000; ++i) expected += Cat(i, "\n");
  EXPECT_TRUE(LogText(LogPath(pod, "main")) == expected);
}

TEST_F(Restart, TheNetworkStaysAndAddressesAreNotGivenTwice) {
  const Pod one = RunPod("one");
  const std::string ip = Must(cri().PodStatus(one.id)).network().ip();
  const std::string in_one = StartIdle(one);
  KillAndStart();
  const Pod two = RunPod("two");
  EXPECT_NE(Must(cri().PodStatus(two.id)).network().ip(), ip);
  const std::string in_two = StartIdle(two);
  Exec(in_two, Cat("ping -c 1 -w 5 ", ip));
  EXPECT_THAT(cri().RemovePod(one.id), IsOk());
}

TEST_F(Restart, AGracefulStopLeavesPodsAlone) {
  const Pod pod = RunPod("graceful");
  const std::string id = StartIdle(pod);
  EXPECT_EQ(daemon().Stop(), 0);
  ASSERT_THAT(daemon().Start(), IsOk());
  EXPECT_EQ(Must(cri().ContainerStatus(id)).state(), v1::CONTAINER_RUNNING);
  EXPECT_EQ(Exec(id, "echo here"), "here");
}

TEST_F(Restart, ImagesStay) {
  const std::string id = Must(cri().ImageStatus(kBusybox))->id();
  KillAndStart();
  const auto image = Must(cri().ImageStatus(kBusybox));
  ASSERT_TRUE(image.has_value());
  EXPECT_EQ(image->id(), id);
  EXPECT_EQ(RunToEnd(RunPod("after"), ContainerConfig("main", Shell("echo ran"))), "ran\n");
}

// The heart of it: killed at a random moment of a pod's life, again and again. After each start the
// daemon tells a consistent story, and in the end nothing is left.
TEST_F(Restart, KilledAtManyMoments) {
  std::mt19937 random(testing::UnitTest::GetInstance()->random_seed());
  std::uniform_int_distribution<int> moment(0, 60'000);
  for (int round = 0; round < 25; ++round) {
    const v1::PodSandboxConfig config = PodConfig(Cat("round-", round));
    std::thread life([&] {
      const auto pod = cri().RunPod(config);
      if (!pod.ok()) return;
      const auto container = cri().CreateContainer(
          *pod, ContainerConfig("main", Shell("trap 'exit 4' TERM; while :; do sleep 0.01; done")),
          config);
      if (!container.ok() || !cri().StartContainer(*container).ok()) return;
      (void)cri().ExecSync(*container, {"true"}, 5);
      (void)cri().StopContainer(*container, 5);
      (void)cri().RemoveContainer(*container);
      (void)cri().StopPod(*pod);
      (void)cri().RemovePod(*pod);
    });
    absl::SleepFor(absl::Microseconds(moment(random)));
    kill(daemon().pid(), SIGKILL);  // the client object lives on until the thread is done with it
    life.join();
    daemon().Kill();
    ASSERT_THAT(daemon().Start(), IsOk()) << "round " << round;
    for (const v1::Container& container : Must(cri().ListContainers())) {
      const v1::ContainerStatus status = Must(cri().ContainerStatus(container.id()));
      EXPECT_NE(status.state(), v1::CONTAINER_UNKNOWN);
      if (status.state() == v1::CONTAINER_RUNNING) {
        EXPECT_EQ(Exec(container.id(), "echo alive"), "alive");
      }
    }
    // kubelet would retry: the name must not be stuck. A stopped pod keeps its name until removed.
    for (const v1::PodSandbox& pod : Must(cri().ListPods())) {
      if (pod.state() == v1::SANDBOX_READY) continue;
      EXPECT_THAT(cri().RemovePod(pod.id()), IsOk()) << "round " << round;
    }
    const auto again = cri().RunPod(config);
    EXPECT_THAT(again, IsOk()) << "round " << round;
    RemoveAllPods();
    const auto left = Leftovers();
    ASSERT_THAT(left, IsEmpty()) << "round " << round;
  }
}

TEST_F(Restart, KilledDuringPulls) {
  std::mt19937 random(testing::UnitTest::GetInstance()->random_seed());
  std::uniform_int_distribution<int> moment(0, 150);
  TestImage image = BusyboxImage();
  std::string noise;
  while (noise.size() < (4 << 20)) noise += static_cast<char>(random());
  for (int i = 0; i < 3; ++i) image.Add(TestLayer().File(Cat("noise", i), noise + Cat(i)).Tar());
  registry().Push("killed:latest", image);
  for (int round = 0; round < 8; ++round) {
    std::thread puller([&] { (void)cri().Pull("registry.test/killed:latest"); });
    absl::SleepFor(absl::Milliseconds(moment(random)));
    kill(daemon().pid(), SIGKILL);
    puller.join();
    daemon().Kill();
    ASSERT_THAT(daemon().Start(), IsOk());
  }
  ASSERT_THAT(cri().Pull("registry.test/killed:latest"), IsOk());
  const Pod pod = RunPod("killed");
  v1::ContainerConfig config = ContainerConfig("main", Shell("wc -c < /noise2"));
  config.mutable_image()->set_image("registry.test/killed:latest");
  EXPECT_EQ(RunToEnd(pod, config), Cat(noise.size() + 1, "\n"));
}

TEST_F(Restart, AKilledMonitorMakesThePodNotReady) {
  const Pod pod = RunPod("monitor");
  const std::string id = Start(pod, "main", {"sleep", "1000"});
  std::vector<pid_t> monitors = ProcessesNamed("crisp-monitor");
  ASSERT_THAT(monitors, SizeIs(1));
  kill(monitors[0], SIGKILL);
  EXPECT_TRUE(
      WaitUntil([&] { return Must(cri().PodStatus(pod.id)).state() == v1::SANDBOX_NOTREADY; }));
  // As in any stop, the pod is not ready first, then its containers are ended.
  EXPECT_TRUE(
      WaitUntil([&] { return Must(cri().ContainerStatus(id)).state() == v1::CONTAINER_EXITED; }));
  EXPECT_THAT(cri().StopPod(pod.id), IsOk());
  EXPECT_THAT(cri().RemovePod(pod.id), IsOk());
  EXPECT_THAT(Leftovers(), IsEmpty());
}

TEST_F(Restart, OneDamagedPodDoesNotStopTheDaemon) {
  const Pod good = RunPod("good");
  const Pod bad = RunPod("bad");
  Start(bad, "main", {"sleep", "1000"});
  daemon().Kill();
  const std::string lost = daemon().state() + "/pods/" + bad.id;
  for (const char* mounted : {"shm", "ipc", "uts"}) {
    umount2(JoinPath(lost, mounted).c_str(), MNT_DETACH);
  }
  ASSERT_TRUE(RemoveTree(lost).ok());
  ASSERT_THAT(daemon().Start(), IsOk());
  EXPECT_EQ(Must(cri().PodStatus(good.id)).state(), v1::SANDBOX_READY);
  EXPECT_THAT(cri().StopPod(bad.id), IsOk());
  EXPECT_THAT(cri().RemovePod(bad.id), IsOk());
}

}  // namespace
}  // namespace crisp
