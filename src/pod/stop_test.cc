// StopContainer: one signal, grace, deadlines, and what ends a wait sooner.
#include <thread>

#include "base/file.h"
#include "gmock/gmock.h"
#include "pod/pod_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class StopTest : public PodTest {
 protected:
  void SetUp() override {
    PodTest::SetUp();
    pod_ = RunPod("web");
  }
  // Says "ready", and "signal" for every stop signal, which it survives.
  std::string Stubborn(const std::string& name) {
    const std::string id =
        Running(pod_, name,
                {"sh", "-c", "trap 'echo signal' TERM; echo ready; while :; do sleep 0.05; done"});
    while (Log(name).find("ready") == std::string::npos) absl::SleepFor(absl::Milliseconds(5));
    return id;
  }
  static Call Until(absl::Duration limit) { return Call{}.Within(limit); }
  static size_t CountOf(const std::string& text, const std::string& word) {
    size_t count = 0;
    for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
      ++count;
    }
    return count;
  }

  std::string pod_;
};

TEST_F(StopTest, TheSignalEndsIt) {
  const std::string id = Running(
      pod_, "main", {"sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"});
  while (Log("main").find("ready") == std::string::npos) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE(Stop(id, 60).ok());
  EXPECT_EQ(Status(id).exit_code(), 9);
}

TEST_F(StopTest, TheContainersOwnSignalIsSent) {
  v1::CreateContainerRequest request = ContainerRequest(
      pod_, "main", {"sh", "-c", "trap 'exit 11' USR1; echo ready; while :; do sleep 0.05; done"});
  request.mutable_config()->set_stop_signal(v1::SIGNAL_SIGUSR1);
  const std::string id = Create(request);
  ASSERT_TRUE(Start(id).ok());
  EXPECT_EQ(Status(id).stop_signal(), v1::SIGNAL_SIGUSR1);
  while (Log("main").find("ready") == std::string::npos) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE(Stop(id, 60).ok());
  EXPECT_EQ(Status(id).exit_code(), 11);
}

TEST_F(StopTest, ACallThatEndsBeforeTheGraceDoesNotKill) {
  const std::string id = Stubborn("main");
  EXPECT_EQ(Stop(id, 60, Until(absl::Milliseconds(300))).code(),
            absl::StatusCode::kDeadlineExceeded);
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_RUNNING);
  EXPECT_EQ(Stop(id, 60, Until(absl::Milliseconds(300))).code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(CountOf(Log("main"), "signal"), 1u);  // repeated calls do not repeat the signal
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_RUNNING);
  EXPECT_TRUE(Stop(id, 0).ok());
  EXPECT_EQ(Status(id).exit_code(), 137);
}

TEST_F(StopTest, ALaterShorterTimeoutShortensTheWait) {
  const std::string id = Stubborn("main");
  absl::Status first = absl::UnknownError("not yet");
  std::thread patient([&] { first = Stop(id, 600); });
  while (CountOf(Log("main"), "signal") == 0) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE(Stop(id, 1).ok());
  patient.join();
  EXPECT_TRUE(first.ok()) << first;
  EXPECT_EQ(Status(id).exit_code(), 137);
}

TEST_F(StopTest, ALaterLongerTimeoutDoesNotLengthenIt) {
  const std::string id = Stubborn("main");
  std::thread patient([&] { EXPECT_TRUE(Stop(id, 1).ok()); });
  while (CountOf(Log("main"), "signal") == 0) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE(Stop(id, 600).ok());
  patient.join();
}

TEST_F(StopTest, StatusDoesNotWaitForAStop) {
  const std::string id = Stubborn("main");
  std::thread patient([&] { EXPECT_TRUE(Stop(id, 2).ok()); });
  while (CountOf(Log("main"), "signal") == 0) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_RUNNING);
  EXPECT_TRUE(Exec(id, {"true"}).ok());
  patient.join();
}

TEST_F(StopTest, TheRestartedDaemonDoesNotRepeatTheSignal) {
  const std::string id = Stubborn("main");
  EXPECT_FALSE(Stop(id, 60, Until(absl::Milliseconds(300))).ok());
  Restart();
  EXPECT_FALSE(Stop(id, 60, Until(absl::Milliseconds(300))).ok());
  EXPECT_EQ(CountOf(Log("main"), "signal"), 1u);
}

TEST_F(StopTest, OfAManyOnlyOneRemoves) {
  const std::string id = Running(pod_, "main", {"sleep", "1000"});
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      absl::Status status = i % 2 == 0 ? Remove(id) : Stop(id, 0);
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(Containers(), IsEmpty());
}

TEST_F(StopTest, PodsAreRemovedByManyAtOnce) {
  Running(pod_, "main", {"sleep", "1000"});
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      absl::Status status = i % 2 == 0 ? RemovePod(pod_) : StopPod(pod_);
      EXPECT_TRUE(status.ok()) << status;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(Pods(), IsEmpty());
}

}  // namespace
}  // namespace crisp
