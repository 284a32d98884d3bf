#include "kernel/systemd_scope.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "gmock/gmock.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

pid_t Sleeper() {
  const pid_t child = fork();
  if (child == 0) {
    while (true) pause();
  }
  return child;
}

// A host without systemd is told so; one with it goes through a scope's whole life.
TEST(SystemdScope, LivesFromStartToStop) {
  const absl::Status usable = CheckSystemd();
  const std::string name = Cat("crisp-test-", getpid(), ".scope");
  const pid_t child = Sleeper();
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  ASSERT_TRUE(pidfd.valid());
  absl::Cleanup end = [&] {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  };
  ScopeRequest request{.name = name,
                       .slice = "crisp-test.slice",
                       .description = "a test of crisp",
                       .pidfd = pidfd.get(),
                       .pid = child,
                       .resources = {{"memory", {{"limit", 64 << 20}}}, {"cpu", {{"cpus", "0"}}}}};
  const absl::Status started = StartScope(request);
  if (!usable.ok()) {
    EXPECT_EQ(usable.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(started.code(), absl::StatusCode::kUnavailable) << started;
    return;
  }
  ASSERT_TRUE(started.ok()) << started;
  const auto cgroup = ReadFile(Cat("/proc/", child, "/cgroup"));
  EXPECT_THAT(*cgroup, HasSubstr(Cat("crisp.slice/crisp-test.slice/", name)));
  EXPECT_TRUE(SetScopeResources(name, {{"memory", {{"limit", 32 << 20}}}}).ok());

  // One of the same name takes its place.
  const pid_t second = Sleeper();
  const UniqueFd second_pidfd(static_cast<int>(syscall(SYS_pidfd_open, second, 0)));
  request.pidfd = second_pidfd.get();
  request.pid = second;
  const absl::Status again = StartScope(request);
  EXPECT_TRUE(again.ok()) << again;
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, WNOHANG), child) << "its scope was stopped";
  std::move(end).Cancel();

  EXPECT_TRUE(StopUnit(name).ok());
  EXPECT_EQ(waitpid(second, &status, 0), second);
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  EXPECT_TRUE(StopUnit(name).ok()) << "a second time is fine";
  EXPECT_TRUE(StopUnit("crisp-test.slice").ok());
  EXPECT_EQ(SetScopeResources(name, Json::object()).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace crisp
