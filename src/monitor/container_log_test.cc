// Logs of containers, as the real monitor writes them: reopened, on a full disk, nowhere.
#include <sys/mount.h>

#include "gmock/gmock.h"
#include "kernel/cgroup.h"
#include "monitor/monitor_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

class ContainerLogTest : public MonitorTest {};

TEST_F(ContainerLogTest, ReopensUnderLoadWithoutLosingALine) {
  StartMonitor();
  constexpr int kLines = 20000;
  ASSERT_EQ(Start("one", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done").code(),
            0);
  std::vector<std::string> files;
  for (int i = 0; i < 100; ++i) {
    files.push_back(Cat(LogPath("one"), ".", i));
    if (rename(LogPath("one").c_str(), files.back().c_str()) != 0) break;
    monitor::Request reopen;
    reopen.mutable_reopen_log()->set_container_id("one");
    if (client_->Call(reopen).code() != 0) break;
    EXPECT_TRUE(PathExists(LogPath("one")));
  }
  ASSERT_TRUE(client_->WaitForExit("one").has_value());
  files.push_back(LogPath("one"));
  std::vector<std::string> lines;
  for (const std::string& file : files) {
    for (std::string& line : ReadLog(file)) lines.push_back(std::move(line));
  }
  ASSERT_EQ(lines.size(), static_cast<size_t>(kLines));
  for (int i = 0; i < kLines; ++i) ASSERT_EQ(lines[i], Cat("line ", i));
}

TEST_F(ContainerLogTest, AFullDiskStopsNoContainer) {
  StartMonitor();
  const std::string disk = folder_ + "/disk";
  ASSERT_TRUE(MakeFolders(disk).ok());
  ASSERT_EQ(mount("none", disk.c_str(), "tmpfs", 0, "size=256k"), 0);
  // The monitor, in the same mount namespace, sees it, too.
  monitor::Request request =
      StartOf("one", ConfigOf("one",
                              "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); "
                              "done; exit 6"));
  request.mutable_start()->set_log_path(disk + "/one.log");
  ASSERT_EQ(client_->Call(request).code(), 0);
  EXPECT_EQ(client_->WaitForExit("one")->exit_code(), 6);
  const std::vector<std::string> lines = ReadLog(disk + "/one.log");
  EXPECT_GT(lines.size(), 3000u);
  EXPECT_LT(lines.size(), 20000u);
  for (size_t i = 0; i < lines.size(); ++i) ASSERT_EQ(lines[i], Cat("line ", i));
}

TEST_F(ContainerLogTest, AnUnwritableLogFailsTheStart) {
  StartMonitor();
  monitor::Request request = StartOf("one", ConfigOf("one", "true"));
  request.mutable_start()->set_log_path("/proc/no/such/one.log");
  const monitor::Reply reply = client_->Call(request);
  EXPECT_NE(reply.code(), 0);
  EXPECT_THAT(reply.message(), HasSubstr("/proc/no"));
  EXPECT_FALSE(Cgroup(*tree_, CgroupPath("one")).Exists());
}

}  // namespace
}  // namespace crisp
