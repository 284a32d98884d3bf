#include "base/subprocess.h"

#include <signal.h>

#include "base/file.h"
#include "base/text.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

class SubprocessTest : public testing::Test {
 protected:
  void SetUp() override { signal(SIGPIPE, SIG_IGN); }
  static ProcessRequest Shell(const std::string& script) {
    ProcessRequest request;
    request.argv = {"/bin/sh", "-c", script};
    request.environment = {"PATH=/usr/bin:/bin", "GREETING=hello"};
    return request;
  }
};

TEST_F(SubprocessTest, FeedsInputAndCollectsBothOutputs) {
  ProcessRequest request = Shell("cat; echo $GREETING >&2; exit 3");
  request.stdin_data = std::string(300'000, 'x');  // more than a pipe holds
  const auto result = RunProcess(request, Call());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stdout_data, request.stdin_data);
  EXPECT_EQ(result->stderr_data, "hello\n");
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_FALSE(result->truncated);
}

TEST_F(SubprocessTest, OutputIsBounded) {
  ProcessRequest request = Shell("head -c 100000 /dev/zero");
  request.max_output_bytes = 1000;
  const auto result = RunProcess(request, Call());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stdout_data.size(), 1000u);
  EXPECT_TRUE(result->truncated);
  EXPECT_EQ(result->exit_code, 0);
}

TEST_F(SubprocessTest, DeadlineKillsTheWholeGroup) {
  const auto result =
      RunProcess(Shell("sleep 1000 & echo $! ; wait"), Call().Within(absl::Milliseconds(200)));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(SubprocessTest, BackgroundChildDoesNotDelayTheResult) {
  const auto result = RunProcess(Shell("sleep 5 & echo done"), Call().Within(absl::Seconds(4)));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stdout_data, "done\n");
}

TEST_F(SubprocessTest, AbsentProgramAndSignalDeath) {
  ProcessRequest absent;
  absent.argv = {"/does/not/exist"};
  EXPECT_EQ(RunProcess(absent, Call()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(RunProcess(ProcessRequest(), Call()).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(RunProcess(Shell("kill -9 $$"), Call())->exit_code, 137);
}

}  // namespace
}  // namespace crisp
