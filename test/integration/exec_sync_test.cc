// ExecSync: output, exit codes, limits of time and size, and nothing left running.
#include <thread>

#include "absl/strings/match.h"
#include "base/text.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

class ExecSync : public NodeTest {};

TEST_F(ExecSync, OutputAndExitCode) {
  const std::string id = StartIdle(RunPod("exec"));
  const auto result = Must(cri().ExecSync(id, Shell("echo out; echo err >&2; exit 5")));
  EXPECT_EQ(result.stdout(), "out\n");
  EXPECT_EQ(result.stderr(), "err\n");
  EXPECT_EQ(result.exit_code(), 5);
  EXPECT_EQ(Must(cri().ExecSync(id, {"sh", "-c", "kill -9 $$"})).exit_code(), 137);
}

TEST_F(ExecSync, ArgumentsArriveAsTheyAre) {
  const std::string id = StartIdle(RunPod("arguments"));
  const auto result =
      Must(cri().ExecSync(id, {"printf", "%s|", "--help", "-it", "a b", "", "*", "\xc3\xa9"}));
  EXPECT_EQ(result.stdout(), "--help|-it|a b||*|\xc3\xa9|");
}

TEST_F(ExecSync, BinaryOutputSurvives) {
  const std::string id = StartIdle(RunPod("binary"));
  const auto result = Must(cri().ExecSync(id, Shell("head -c 300000 /dev/zero")));
  EXPECT_EQ(result.stdout(), std::string(300000, '\0'));
}

TEST_F(ExecSync, LooksLikeTheContainersOwnProcess) {
  const Pod pod = RunPod("same");
  v1::ContainerConfig config =
      ContainerConfig("main", Shell("trap 'exit 0' TERM; while :; do sleep 0.05; done"));
  config.set_working_dir("/www");
  auto* env = config.add_envs();
  env->set_key("OURS");
  env->set_value("set");
  config.mutable_linux()->mutable_security_context()->mutable_run_as_user()->set_value(1000);
  const std::string id = Start(pod, config);
  EXPECT_EQ(Exec(id, "echo $OURS $(pwd) $(id -u):$(id -g) $HOME"), "set /www 1000:1000 /home/user");
  // But for the leaf below the container's cgroup that lets an exec's whole tree be killed.
  // Where the container has a cgroup namespace, its own cgroup is the root.
  EXPECT_EQ(Exec(id, "sed 's:/exec-[0-9a-f]*$::; s|:$|:/|' /proc/self/cgroup"),
            Exec(id, "cat /proc/1/cgroup"));
  EXPECT_EQ(Exec(id, "ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ");
}

TEST_F(ExecSync, ATimeoutKillsEverythingThatItStarted) {
  const std::string id = StartIdle(RunPod("timeout"));
  EXPECT_THAT(cri().ExecSync(id, Shell("sleep 7654 & setsid sleep 7655 & sleep 7656"), 1),
              Fails(StatusCode::kDeadlineExceeded, ""));
  EXPECT_TRUE(WaitUntil([&] {
    const auto all = cri().ExecSync(id, Shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '"));
    return all.ok() && !absl::StrContains(all->stdout(), "sleep 765");
  }));
  EXPECT_EQ(Must(cri().ContainerStatus(id)).state(), v1::CONTAINER_RUNNING);
}

TEST_F(ExecSync, TheCallersDeadlineCounts) {
  const std::string id = StartIdle(RunPod("deadline"));
  cri().set_limit(absl::Milliseconds(500));
  EXPECT_THAT(cri().ExecSync(id, {"sleep", "7657"}, 0), Fails(StatusCode::kDeadlineExceeded, ""));
  cri().set_limit(absl::Minutes(2));
  EXPECT_TRUE(WaitUntil([&] {
    const auto all = cri().ExecSync(id, Shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '"));
    return all.ok() && !absl::StrContains(all->stdout(), "sleep 7657");
  }));
}

TEST_F(ExecSync, ABackgroundChildDoesNotHoldItUp) {
  const std::string id = StartIdle(RunPod("background"));
  const auto result = Must(cri().ExecSync(id, Shell("sleep 7658 & echo done"), 60));
  EXPECT_EQ(result.stdout(), "done\n");
  EXPECT_EQ(result.exit_code(), 0);
}

TEST_F(ExecSync, EndlessOutputIsBounded) {
  const std::string id = StartIdle(RunPod("endless"));
  const auto result = cri().ExecSync(id, Shell("head -c 100000000 /dev/zero"), 60);
  if (result.ok()) {
    EXPECT_LE(result->stdout().size(), size_t{16} << 20);
  } else {
    EXPECT_EQ(result.status().code(), StatusCode::kResourceExhausted) << result.status();
  }
  EXPECT_EQ(Exec(id, "echo alive"), "alive");
}

TEST_F(ExecSync, Errors) {
  const Pod pod = RunPod("errors");
  const std::string id = StartIdle(pod);
  EXPECT_THAT(cri().ExecSync(id, {"/no/such/program"}),
              Fails(StatusCode::kNotFound, "/no/such/program"));
  EXPECT_THAT(cri().ExecSync(id, {"/etc/passwd"}).status().message(), HasSubstr("/etc/passwd"));
  EXPECT_THAT(cri().ExecSync(id, {}), Fails(StatusCode::kInvalidArgument, ""));
  EXPECT_THAT(cri().ExecSync("nothing", {"true"}), Fails(StatusCode::kNotFound, "nothing"));
  const std::string created = Create(pod, ContainerConfig("created", {"true"}));
  EXPECT_THAT(cri().ExecSync(created, {"true"}), Fails(StatusCode::kFailedPrecondition, created));
  EXPECT_THAT(cri().StopContainer(id, 10), IsOk());
  EXPECT_THAT(cri().ExecSync(id, {"true"}), Fails(StatusCode::kFailedPrecondition, id));
}

TEST_F(ExecSync, ManyAtOnce) {
  const std::string id = StartIdle(RunPod("many"));
  std::vector<std::thread> callers;
  for (int i = 0; i < 32; ++i) {
    callers.emplace_back([&, i] {
      for (int round = 0; round < 4; ++round) {
        const auto result = Must(cri().ExecSync(id, {"sh", "-c", Cat("echo ", i, "; exit ", i)}));
        EXPECT_EQ(result.stdout(), Cat(i, "\n"));
        EXPECT_EQ(result.exit_code(), i);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST_F(ExecSync, EndsWithItsContainer) {
  const Pod pod = RunPod("ends");
  const std::string id = StartIdle(pod);
  std::thread caller([&] {
    const auto result = cri().ExecSync(id, {"sleep", "7659"}, 60);
    if (result.ok()) {
      EXPECT_EQ(result->exit_code(), 137);
    }
  });
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_THAT(cri().StopContainer(id, 0), IsOk());
  caller.join();
}

}  // namespace
}  // namespace crisp
