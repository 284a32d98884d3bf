#include "launch/native_launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/launch_fixture.h"

namespace crisp {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(LaunchTest, RunsAProgramAndGivesItsExitCode) {
  Shell("echo hello; exit 7");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_EQ(done.output, "hello\n");
  EXPECT_EQ(done.code, 7);
}

TEST_F(LaunchTest, HasNamespacesOfItsOwn) {
  Shell("echo $$; hostname; cat /proc/self/cgroup; ls /");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr("1\nbox\n"));
  EXPECT_THAT(done.output, Not(HasSubstr(id_)));  // its cgroup is the root of its namespace
  EXPECT_THAT(done.output, HasSubstr("data\ndev\netc\nproc\nsys\ntmp\n"));
}

TEST_F(LaunchTest, NothingOfTheHostIsMounted) {
  Shell("cat /proc/self/mountinfo");
  const Finished done = Run();
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, Not(HasSubstr("/mnt/")));
  EXPECT_THAT(done.output, Not(HasSubstr("/run")));
  EXPECT_THAT(done.output, HasSubstr(" / / "));
  EXPECT_THAT(done.output, HasSubstr("overlay"));
}

TEST_F(LaunchTest, ExecJoinsTheContainer) {
  StartRunning("echo up; exec sleep 1000");
  const Finished done = Exec(ExecProcess({"sh", "-c", "hostname; ps; cat /proc/self/cgroup"}));
  ASSERT_TRUE(done.status.ok()) << done.status;
  EXPECT_THAT(done.output, HasSubstr("box\n"));
  EXPECT_THAT(done.output, HasSubstr("sleep 1000"));
  EXPECT_EQ(done.code, 0);
}

}  // namespace
}  // namespace crisp
