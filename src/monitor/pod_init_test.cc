// The init of a pod whose containers share a PID namespace.
#include <signal.h>
#include <sys/wait.h>

#include "base/file.h"
#include "gmock/gmock.h"
#include "monitor/monitor_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PodInitTest : public MonitorTest {};

TEST_F(PodInitTest, ThePodsInitBuriesAndCannotBeKilledOrUsed) {
  const monitor::Reply hello = StartMonitor({"--pod-init"});
  ASSERT_GT(hello.pid(), 0);
  const std::string proc = Cat("/proc/", hello.pid());
  EXPECT_EQ(*ReadFile(proc + "/comm"), "crisp-pod-init\n");
  const std::string status = *ReadFile(proc + "/status");
  for (const char* name : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    EXPECT_THAT(status, HasSubstr(Cat(name, ":\t0000000000000000")));
  }
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));

  Json config = ConfigOf(
      "one",
      "ps -o pid,comm; (sleep 0.05 &); for s in TERM INT KILL HUP; do kill -$s 1; done; ls -la "
      "/proc/1/root/; ls /proc/1/fd; sleep 0.2; ps -o pid,comm,stat; echo end");
  config.erase("hostname");
  config["linux"]["namespaces"] = {{{"type", "mount"}},
                                   {{"type", "pid"}, {"path", proc + "/ns/pid"}}};
  config["process"]["capabilities"] = {};
  const std::vector<std::string> all = {"CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_KILL"};
  for (const char* set : {"bounding", "effective", "permitted"}) {
    config["process"]["capabilities"][set] = all;
  }
  ASSERT_EQ(client_->Call(StartOf("one", config)).code(), 0);
  ASSERT_TRUE(client_->WaitForExit("one").has_value());
  const std::vector<std::string> lines = ReadLog(LogPath("one"));
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  EXPECT_THAT(text, HasSubstr("crisp-pod-init"));
  EXPECT_THAT(text, HasSubstr("end\n"));
  EXPECT_THAT(text, Not(HasSubstr("Z ")));
  EXPECT_THAT(text, Not(HasSubstr("usr")));
  EXPECT_EQ(kill(hello.pid(), 0), 0);

  // A second container sees the same processes; both go with the pod.
  config["process"]["args"] = {"/bin/sleep", "1000"};
  config["linux"]["cgroupsPath"] = CgroupPath("two");
  ASSERT_EQ(client_->Call(StartOf("two", config)).code(), 0);
  monitor::Request shutdown;
  shutdown.mutable_shutdown();
  EXPECT_EQ(client_->Call(shutdown).code(), 0);
  int wait_status = 0;
  ASSERT_EQ(waitpid(monitor_, &wait_status, 0), monitor_);
  monitor_ = 0;
  EXPECT_TRUE(client_->Until([&] { return kill(hello.pid(), 0) != 0; }));
}

TEST_F(PodInitTest, ThePodsInitDiesWithTheMonitor) {
  const monitor::Reply hello = StartMonitor({"--pod-init"});
  ASSERT_GT(hello.pid(), 0);
  kill(monitor_, SIGKILL);
  ASSERT_EQ(waitpid(monitor_, nullptr, 0), monitor_);
  monitor_ = 0;
  EXPECT_TRUE(client_->Until([&] {
    const absl::StatusOr<std::string> status = ReadFile(Cat("/proc/", hello.pid(), "/status"));
    return !status.ok() || status->find("State:\tZ") != std::string::npos;
  }));
}

}  // namespace
}  // namespace crisp
