// ExecSync: output, exits, limits, timeouts.
#include <signal.h>

#include "base/file.h"
#include "base/text.h"
#include "gmock/gmock.h"
#include "pod/pod_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ExecTest : public PodTest {
 protected:
  void SetUp() override {
    PodTest::SetUp();
    pod_ = RunPod("web");
    id_ = Running(pod_, "main", {"sleep", "100000"});
  }
  // How many processes of the container have this word in their command line.
  int Count(const std::string& word) {
    auto result = Exec(id_, {"sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"});
    EXPECT_TRUE(result.ok()) << result.status();
    int count = 0;
    const std::string text = result->stdout();
    for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
      ++count;
    }
    return count;
  }

  std::string pod_;
  std::string id_;
};

TEST_F(ExecTest, ASignalIsAnExitCode) {
  EXPECT_EQ(Exec(id_, {"sh", "-c", "kill -9 $$"})->exit_code(), 137);
}

TEST_F(ExecTest, HasTheContainersEnvironment) {
  v1::CreateContainerRequest request = ContainerRequest(pod_, "other", {"sleep", "1000"});
  request.mutable_config()->set_working_dir("/tmp");
  v1::KeyValue& env = *request.mutable_config()->add_envs();
  env.set_key("COLOUR");
  env.set_value("red");
  request.mutable_config()
      ->mutable_linux()
      ->mutable_security_context()
      ->mutable_run_as_user()
      ->set_value(1000);
  const std::string id = Create(request);
  ASSERT_TRUE(Start(id).ok());
  EXPECT_EQ(Exec(id, {"sh", "-c", "echo $COLOUR $(pwd) $(id -u)"})->stdout(), "red /tmp 1000\n");
}

TEST_F(ExecTest, AMissingProgramIsAnError) {
  auto result = Exec(id_, {"/no/such/program"});
  EXPECT_FALSE(result.ok());
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("/no/such/program"));
  EXPECT_EQ(Exec(id_, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ExecTest, MuchOutputIsWhole) {
  auto result = Exec(id_, {"sh", "-c",
                           "dd if=/dev/zero bs=1024 count=3000 2>/dev/null; dd if=/dev/zero "
                           "bs=1024 count=2000 >&2 2>/dev/null"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stdout().size(), 3000u * 1024);
}

TEST_F(ExecTest, BeyondSixteenMebibytesIsDropped) {
  auto result = Exec(
      id_, {"sh", "-c", "dd if=/dev/zero bs=1048576 count=20 2>/dev/null; echo end >&2; exit 4"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stdout().size(), 16u << 20);
  EXPECT_EQ(result->stderr(), "end\n");
  EXPECT_EQ(result->exit_code(), 4);
}

TEST_F(ExecTest, ABackgroundChildDoesNotHoldItUp) {
  auto result = Exec(id_, {"sh", "-c", "echo first; sleep 54321 & echo second"}, 20);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stdout(), "first\nsecond\n");
}

TEST_F(ExecTest, ATimeoutKillsTheWholeTree) {
  auto result = Exec(id_, {"sh", "-c", "sleep 77777 & sleep 77777; true"}, 1);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded) << result.status();
  EXPECT_EQ(Count("sleep 7777"
                  "7"),
            0);
}

TEST_F(ExecTest, ACallerWhoGoesKillsIt) {
  v1::ExecSyncRequest request;
  request.set_container_id(id_);
  for (const char* word : {"sleep", "88888"}) request.add_cmd(word);
  const absl::Time start = absl::Now();
  Call call;
  call.cancelled = [&] { return absl::Now() > start + absl::Milliseconds(300); };
  EXPECT_EQ(runtime_->ExecSync(request, call).status().code(), absl::StatusCode::kCancelled);
  for (int i = 0; i < 100 && Count("sleep 8888"
                                   "8") > 0;
       ++i) {
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_EQ(Count("sleep 8888"
                  "8"),
            0);
}

TEST_F(ExecTest, NothingRunsInAStoppedContainer) {
  EXPECT_TRUE(Stop(id_, 0).ok());
  EXPECT_EQ(Exec(id_, {"true"}).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ExecTest, AStopEndsTheExecsOfAContainer) {
  absl::Status status;
  std::thread exec([&] { status = Exec(id_, {"sleep", "99999"}).status(); });
  while (Count("sleep 9999"
               "9") == 0)
    absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE(Stop(id_, 0).ok());
  exec.join();
  EXPECT_TRUE(status.ok()) << status;  // its exit code tells of the kill
}

TEST_F(ExecTest, LargeCommandsWork) {
  const std::string large(100 << 10, 'x');
  auto result = Exec(id_, {"sh", "-c", "echo ${#1}", "sh", large});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stdout(), Cat(large.size(), "\n"));
}

}  // namespace
}  // namespace crisp
