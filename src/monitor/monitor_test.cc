// The real program crisp-monitor with real containers made from the host's busybox.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "base/cri_log.h"
#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/cgroup.h"
#include "kernel/packet_socket.h"
#include "monitor/exit_record.h"
#include "monitor/test_client.h"

namespace crisp {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

int CodeOf(absl::StatusCode code) { return static_cast<int>(code); }

class MonitorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/monitor_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    ASSERT_EQ(chmod(name, 0755), 0);
    pod_id_ = RandomId();
    absl::StatusOr<CgroupTree> tree = CgroupTree::Detect();
    ASSERT_TRUE(tree.ok()) << tree.status();
    tree_ = std::make_unique<CgroupTree>(*std::move(tree));
    MakeLayer();
  }

  void TearDown() override {
    if (monitor_ > 0) {
      monitor::Request shutdown;
      shutdown.mutable_shutdown();
      EXPECT_EQ(client_->Call(shutdown).code(), 0);
      int status = 0;
      ASSERT_EQ(waitpid(monitor_, &status, 0), monitor_);
      EXPECT_EQ(status, 0);
    }
    EXPECT_TRUE(PodCgroup().Remove(absl::Seconds(5)).ok());
    // The tests' common parent, unless another run still uses it.
    for (const std::string& folder : Cgroup(*tree_, "/crisp-monitor-test").Folders()) {
      rmdir(folder.c_str());
    }
    umount2((folder_ + "/disk").c_str(), MNT_DETACH);
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }

  void MakeLayer() {
    for (const char* name : {"bin", "etc", "tmp"}) {
      ASSERT_TRUE(MakeFolders(Cat(folder_, "/layer/", name)).ok());
    }
    const absl::StatusOr<std::string> busybox = ReadFile("/bin/busybox");
    ASSERT_TRUE(busybox.ok()) << busybox.status();
    ASSERT_TRUE(ReplaceFile(folder_ + "/layer/bin/busybox", *busybox, 0755).ok());
    for (const char* name : {"sh", "cat", "ls", "sleep", "setsid", "head", "tr", "stty", "kill",
                             "readlink", "ps", "usleep"}) {
      ASSERT_EQ(symlink("busybox", Cat(folder_, "/layer/bin/", name).c_str()), 0);
    }
  }

  std::string SocketPath() const { return folder_ + "/monitor.sock"; }
  std::string PodCgroupPath() const { return Cat("/crisp-monitor-test/", pod_id_); }
  std::string CgroupPath(const std::string& id) const { return Cat(PodCgroupPath(), "/", id); }
  Cgroup PodCgroup() const { return Cgroup(*tree_, PodCgroupPath()); }
  std::string Bundle(const std::string& id) const { return folder_ + "/" + id; }
  std::string LogPath(const std::string& id) const { return folder_ + "/logs/" + id + ".log"; }

  static std::string MonitorProgram() {
    char self[4096];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self);
    return JoinPath(FolderOf(std::string_view(self, length)), "crisp-monitor");
  }

  pid_t Spawn(const std::vector<std::string>& options) {
    absl::StatusOr<UniqueFd> listener = ListenForPackets(SocketPath());
    EXPECT_TRUE(listener.ok()) << listener.status();
    std::vector<std::string> args = {"crisp-monitor", "--pod", pod_id_, "--listen-fd", "3"};
    args.insert(args.end(), options.begin(), options.end());
    std::vector<char*> argv;
    for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, listener->get(), 3);
    pid_t pid = -1;
    char* environment[] = {nullptr};
    EXPECT_EQ(
        posix_spawn(&pid, MonitorProgram().c_str(), &actions, nullptr, argv.data(), environment),
        0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }

  std::unique_ptr<TestClient> Connect() {
    absl::StatusOr<UniqueFd> socket = ConnectForPackets(SocketPath());
    EXPECT_TRUE(socket.ok()) << socket.status();
    return std::make_unique<TestClient>(*std::move(socket),
                                        [] { absl::SleepFor(absl::Milliseconds(1)); });
  }

  monitor::Reply StartMonitor(const std::vector<std::string>& options = {}) {
    monitor_ = Spawn(options);
    client_ = Connect();
    return client_->Hello();
  }

  static Json MountOf(const char* type, const char* destination) {
    return {{"destination", destination}, {"type", type}, {"source", type}};
  }

  Json ConfigOf(const std::string& id, const std::string& script) const {
    return {{"ociVersion", "1.0.2"},
            {"hostname", "box"},
            {"root", {{"path", "rootfs"}}},
            {"process",
             {{"cwd", "/"},
              {"args", {"/bin/sh", "-c", script}},
              {"env", {"PATH=/bin"}},
              {"user", {{"uid", 0}, {"gid", 0}}}}},
            {"mounts",
             {MountOf("proc", "/proc"), MountOf("tmpfs", "/dev"), MountOf("devpts", "/dev/pts")}},
            {"linux",
             {{"cgroupsPath", CgroupPath(id)},
              {"resources", Json::object()},
              {"namespaces",
               {{{"type", "mount"}}, {{"type", "pid"}}, {{"type", "ipc"}}, {{"type", "uts"}}}}}}};
  }

  monitor::Request StartOf(const std::string& id, const Json& config) {
    for (const char* name : {"", "/upper", "/work"}) {
      EXPECT_TRUE(MakeFolders(Bundle(id) + name).ok());
    }
    EXPECT_TRUE(ReplaceFile(Bundle(id) + "/config.json", JsonText(config)).ok());
    monitor::Request request;
    monitor::StartContainer& start = *request.mutable_start();
    start.set_container_id(id);
    start.set_bundle(Bundle(id));
    start.set_log_path(LogPath(id));
    start.set_cgroup_path(CgroupPath(id));
    start.mutable_rootfs()->add_lower(folder_ + "/layer");
    start.mutable_rootfs()->set_upper(Bundle(id) + "/upper");
    start.mutable_rootfs()->set_work(Bundle(id) + "/work");
    return request;
  }
  monitor::Reply Start(const std::string& id, const std::string& script) {
    return client_->Call(StartOf(id, ConfigOf(id, script)));
  }

  monitor::Request ExecOf(const std::string& id, const std::string& exec_id,
                          const std::string& script) const {
    monitor::Request request;
    request.mutable_exec()->set_container_id(id);
    request.mutable_exec()->set_exec_id(exec_id);
    request.mutable_exec()->set_process_json(JsonText(ConfigOf(id, script)["process"]));
    return request;
  }

  monitor::Reply Signal(const std::string& id, int signal, bool all = false) {
    monitor::Request request;
    request.mutable_signal()->set_container_id(id);
    request.mutable_signal()->set_signal(signal);
    request.mutable_signal()->set_all(all);
    return client_->Call(request);
  }

  size_t ProcessesOf(const std::string& id) const {
    const auto processes = Cgroup(*tree_, CgroupPath(id)).Processes();
    return processes.ok() ? processes->size() : 0;
  }

  static std::vector<std::string> ReadLog(const std::string& path) {
    std::vector<std::string> lines;
    CriLogReader reader;
    const absl::StatusOr<std::string> text = ReadFile(path, 256 << 20);
    if (!text.ok()) return lines;
    reader.Feed(*text, [&lines](const LogEntry& entry) { lines.emplace_back(entry.content); });
    EXPECT_EQ(reader.damaged_lines(), 0u);
    EXPECT_TRUE(text->empty() || text->back() == '\n');
    return lines;
  }
  // What it has logged once it has logged this many lines.
  std::vector<std::string> LogOf(const std::string& id, size_t lines) {
    EXPECT_TRUE(client_->Until([&] { return ReadLog(LogPath(id)).size() >= lines; }));
    return ReadLog(LogPath(id));
  }

  std::string folder_;
  std::string pod_id_;
  std::unique_ptr<CgroupTree> tree_;
  pid_t monitor_ = 0;
  std::unique_ptr<TestClient> client_;
};

TEST_F(MonitorTest, RunsAContainer) {
  const monitor::Reply hello = StartMonitor();
  ASSERT_EQ(hello.code(), 0) << hello.message();
  EXPECT_EQ(hello.pod_id(), pod_id_);
  EXPECT_EQ(hello.monitor_pid(), monitor_);
  EXPECT_EQ(hello.pid(), 0);
  const monitor::Reply reply = Start("one", "echo out; echo err >&2; exit 3");
  ASSERT_EQ(reply.code(), 0) << reply.message();
  const auto exit = client_->WaitForExit("one");
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->exit_code(), 3);
  EXPECT_EQ(ReadExitRecord(Bundle("one"))->exit_code(), 3);
  EXPECT_THAT(ReadLog(LogPath("one")), testing::UnorderedElementsAre("out", "err"));
}

TEST_F(MonitorTest, IsADaemonThatIgnoresSignals) {
  StartMonitor();
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) kill(monitor_, signal);
  EXPECT_EQ(client_->Hello().code(), 0);
  const std::string proc = Cat("/proc/", monitor_);
  EXPECT_EQ(*ReadFile(proc + "/comm"), "crisp-monitor\n");
  EXPECT_EQ(getsid(monitor_), monitor_);
  char cwd[16] = {};
  ASSERT_EQ(readlink((proc + "/cwd").c_str(), cwd, sizeof cwd), 1);
  EXPECT_EQ(cwd[0], '/');
  // Lowering it takes CAP_SYS_RESOURCE.
  if (WriteExisting("/proc/self/oom_score_adj", "-1").ok()) {
    EXPECT_EQ(*ReadFile(proc + "/oom_score_adj"), "-998\n");
    EXPECT_TRUE(WriteExisting("/proc/self/oom_score_adj", "0").ok());
  }
  // Nothing of that reaches a container.
  Start("one",
        "cat /proc/self/status | while read -r a b; do case $a in Sig[BI]*) echo $a $b;; esac; "
        "done; cat /proc/self/oom_score_adj; ls /proc/self/fd | cat; umask");
  ASSERT_TRUE(client_->WaitForExit("one").has_value());
  // Signals 32 and 33 are the C library's own; whoever ran this test may have left them ignored.
  EXPECT_THAT(ReadLog(LogPath("one")),
              ElementsAre("SigBlk: 0000000000000000",
                          AnyOf("SigIgn: 0000000000000000", "SigIgn: 0000000180000000"), "0", "0",
                          "1", "2", "3", "0022"));
}

TEST_F(MonitorTest, AStartThatFailsLeavesNothing) {
  StartMonitor();
  Json config = ConfigOf("one", "");
  config["process"]["args"] = {"/bin/missing"};
  const monitor::Reply reply = client_->Call(StartOf("one", config));
  EXPECT_EQ(reply.code(), CodeOf(absl::StatusCode::kNotFound)) << reply.message();
  EXPECT_THAT(reply.message(), HasSubstr("/bin/missing"));
  const auto exit = client_->WaitForExit("one");
  ASSERT_TRUE(exit.has_value());
  EXPECT_TRUE(exit->never_ran());
  EXPECT_EQ(exit->exit_code(), 128);
  EXPECT_FALSE(Cgroup(*tree_, CgroupPath("one")).Exists());
  EXPECT_EQ(client_->Call(StartOf("two", Json("no object"))).code() != 0, true);
}

TEST_F(MonitorTest, SurvivesItsDaemonAndTellsTheNextOne) {
  // The daemon is a process of its own here, which is killed.
  const pid_t daemon = fork();
  if (daemon == 0) {
    StartMonitor();
    if (Start("one", "i=0; while :; do echo line $i; i=$((i+1)); usleep 1000; done").code() != 0 ||
        Start("two", "usleep 300000; echo late; exit 5").code() != 0) {
      _exit(1);
    }
    client_->Call(ExecOf("one", "left", "exec sleep 1000"));
    monitor::Request bound = ExecOf("one", "bound", "exec sleep 1000");
    bound.mutable_exec()->set_end_with_connection(true);
    client_->Call(bound);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(daemon, &status, 0), daemon);
  ASSERT_TRUE(WIFSIGNALED(status));

  client_ = Connect();
  ASSERT_TRUE(client_->Until([&] { return PathExists(ExitRecordPath(Bundle("two"))); }));
  const monitor::Reply hello = client_->Hello();
  ASSERT_EQ(hello.code(), 0);
  ASSERT_EQ(hello.containers_size(), 2);
  EXPECT_FALSE(hello.containers(0).exited());
  EXPECT_GT(hello.containers(0).pid(), 0);
  EXPECT_TRUE(hello.containers(1).exited());
  EXPECT_EQ(hello.containers(1).exit().exit_code(), 5);
  EXPECT_THAT(ReadLog(LogPath("two")), ElementsAre("late"));
  EXPECT_TRUE(client_->Until([&] { return client_->Hello().execs_size() == 1; }));
  EXPECT_EQ(client_->Hello().execs(0).exec_id(), "left");

  EXPECT_EQ(Signal("one", SIGKILL).code(), 0);
  EXPECT_EQ(client_->WaitForExit("one")->exit_code(), 128 + SIGKILL);
  const std::vector<std::string> lines = ReadLog(LogPath("one"));
  EXPECT_GT(lines.size(), 10u);
  for (size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i], Cat("line ", i));

  // It is no child of this process, so its end shows in the connection.
  monitor::Request shutdown;
  shutdown.mutable_shutdown();
  EXPECT_EQ(client_->Call(shutdown).code(), 0);
  EXPECT_TRUE(client_->Until([&] { return client_->peer_closed(); }));
}

TEST_F(MonitorTest, ReopensUnderLoadWithoutLosingALine) {
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

TEST_F(MonitorTest, KillExecReachesTheWholeTree) {
  StartMonitor();
  ASSERT_EQ(Start("one", "exec sleep 1000").code(), 0);
  const std::string tree =
      "setsid sh -c 'setsid sleep 1000 & sleep 1000' & (sleep 1000 &) ; echo up; sleep 1000";
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  monitor::Request request = ExecOf("one", "e1", tree);
  request.mutable_exec()->set_has_stdout(true);
  const monitor::Reply reply = client_->Call(request, {write_end.get()});
  ASSERT_EQ(reply.code(), 0) << reply.message();
  write_end.reset();
  EXPECT_TRUE(client_->Until([&] { return ProcessesOf("one") >= 5; })) << ProcessesOf("one");
  // The processes are there before the shell has come to its echo.
  char up[3];
  ASSERT_EQ(read(read_end.get(), up, sizeof up), 3);
  monitor::Request kill;
  kill.mutable_kill_exec()->set_container_id("one");
  kill.mutable_kill_exec()->set_exec_id("e1");
  EXPECT_EQ(client_->Call(kill).code(), 0);
  EXPECT_EQ(client_->WaitForExec("e1")->exit_code(), 128 + SIGKILL);
  // All of them held the pipe; the container's own process lives on.
  EXPECT_EQ(*ReadFd(read_end.get(), "pipe"), "");
  EXPECT_TRUE(client_->Until([&] { return ProcessesOf("one") == 1; })) << ProcessesOf("one");
  EXPECT_FALSE(client_->Hello().containers(0).exited());
}

TEST_F(MonitorTest, AnExecEndsThoughItsChildrenKeepItsOutput) {
  StartMonitor();
  ASSERT_EQ(Start("one", "exec sleep 1000").code(), 0);
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  monitor::Request request = ExecOf("one", "e1", "sleep 1000 & exit 4");
  request.mutable_exec()->set_has_stdout(true);
  ASSERT_EQ(client_->Call(request, {write_end.get()}).code(), 0);
  write_end.reset();
  EXPECT_EQ(client_->WaitForExec("e1")->exit_code(), 4);
  EXPECT_EQ(ProcessesOf("one"), 2u);
  monitor::Request kill;
  kill.mutable_kill_exec()->set_container_id("one");
  kill.mutable_kill_exec()->set_exec_id("e1");
  EXPECT_EQ(client_->Call(kill).code(), 0);
  EXPECT_EQ(*ReadFd(read_end.get(), "pipe"), "");
  EXPECT_TRUE(client_->Until([&] { return ProcessesOf("one") == 1; }));
  // The next exec's end clears what the first has left.
  ASSERT_EQ(client_->Call(ExecOf("one", "e2", "exit 0")).code(), 0);
  EXPECT_TRUE(client_->WaitForExec("e2").has_value());
  EXPECT_EQ(client_->Call(kill).code(), CodeOf(absl::StatusCode::kNotFound));
}

TEST_F(MonitorTest, SeesThatMemoryRanOut) {
  StartMonitor();
  Json config = ConfigOf("one", "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo survived");
  config["linux"]["resources"]["memory"]["limit"] = 24 << 20;
  ASSERT_EQ(client_->Call(StartOf("one", config)).code(), 0);
  ASSERT_EQ(Start("two", "kill -9 $$; sleep 1; exit 9").code(), 0);
  const auto exit = client_->WaitForExit("one");
  ASSERT_TRUE(exit.has_value());
  EXPECT_TRUE(exit->oom_killed());
  EXPECT_EQ(exit->exit_code(), 137);
  EXPECT_TRUE(ReadExitRecord(Bundle("one"))->oom_killed());
  monitor::Request list;
  list.mutable_list();
  ASSERT_TRUE(client_->Until([&] { return PathExists(ExitRecordPath(Bundle("two"))); }));
  EXPECT_FALSE(ReadExitRecord(Bundle("two"))->oom_killed());
}

TEST_F(MonitorTest, AFullDiskStopsNoContainer) {
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

TEST_F(MonitorTest, AnUnwritableLogFailsTheStart) {
  StartMonitor();
  monitor::Request request = StartOf("one", ConfigOf("one", "true"));
  request.mutable_start()->set_log_path("/proc/no/such/one.log");
  const monitor::Reply reply = client_->Call(request);
  EXPECT_NE(reply.code(), 0);
  EXPECT_THAT(reply.message(), HasSubstr("/proc/no"));
  EXPECT_FALSE(Cgroup(*tree_, CgroupPath("one")).Exists());
}

TEST_F(MonitorTest, HasATerminal) {
  StartMonitor();
  Json config = ConfigOf("one", "echo one; until [ -e /go ]; do usleep 10000; done; stty size");
  config["process"]["terminal"] = true;
  monitor::Request request = StartOf("one", config);
  request.mutable_start()->set_terminal(true);
  const monitor::Reply reply = client_->Call(request);
  ASSERT_EQ(reply.code(), 0) << reply.message();
  monitor::Request resize;
  resize.mutable_resize()->set_container_id("one");
  resize.mutable_resize()->set_width(132);
  resize.mutable_resize()->set_height(43);
  EXPECT_EQ(client_->Call(resize).code(), 0);
  ASSERT_EQ(client_->Call(ExecOf("one", "go", "echo >/go")).code(), 0);
  ASSERT_TRUE(client_->WaitForExit("one").has_value());
  EXPECT_THAT(ReadLog(LogPath("one")), ElementsAre("one", "43 132"));
}

TEST_F(MonitorTest, HandsOutTheTerminalOfAnExec) {
  StartMonitor();
  ASSERT_EQ(Start("one", "exec sleep 1000").code(), 0);
  monitor::Request request = ExecOf("one", "e1", "read line; echo got $line");
  Json process = ConfigOf("one", "read line; echo got $line")["process"];
  process["terminal"] = true;
  request.mutable_exec()->set_process_json(JsonText(process));
  request.mutable_exec()->set_terminal(true);
  const monitor::Reply reply = client_->Call(request);
  ASSERT_EQ(reply.code(), 0) << reply.message();
  const UniqueFd terminal = client_->TakeDescriptor();
  ASSERT_TRUE(terminal.valid());
  ASSERT_EQ(write(terminal.get(), "word\n", 5), 5);
  ASSERT_TRUE(client_->WaitForExec("e1").has_value());
  char text[64] = {};
  std::string all;
  for (ssize_t count; (count = read(terminal.get(), text, sizeof text)) > 0;) {
    all.append(text, count);
  }
  EXPECT_THAT(all, HasSubstr("got word\r\n"));
}

TEST_F(MonitorTest, ThePodsInitBuriesAndCannotBeKilledOrUsed) {
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

TEST_F(MonitorTest, ThePodsInitDiesWithTheMonitor) {
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

TEST_F(MonitorTest, KillsWhatAContainerWithoutItsOwnPidNamespaceLeaves) {
  StartMonitor();
  Json config = ConfigOf("one", "setsid sleep 1000 & echo left; exit 0");
  config.erase("hostname");
  config["linux"]["namespaces"] = Json::array({{{"type", "mount"}}});
  ASSERT_EQ(client_->Call(StartOf("one", config)).code(), 0);
  ASSERT_TRUE(client_->WaitForExit("one").has_value());
  EXPECT_TRUE(client_->Until([&] { return ProcessesOf("one") == 0; }));
  EXPECT_THAT(ReadLog(LogPath("one")), ElementsAre("left"));
}

TEST_F(MonitorTest, StaysSmall) {
  StartMonitor();
  ASSERT_EQ(Start("one",
                  "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; exec "
                  "sleep 1000")
                .code(),
            0);
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(client_->Call(ExecOf("one", Cat("e", i), "exit 0")).code(), 0);
    ASSERT_TRUE(client_->WaitForExec(Cat("e", i)).has_value());
  }
  LogOf("one", 2000);
  const std::string path = Cat("/proc/", monitor_, "/smaps_rollup");
  const auto private_kib = [&path] {
    const absl::StatusOr<std::string> text = ReadFile(path);
    int64_t sum = 0;
    for (const std::string_view name : {"Private_Dirty:", "Private_Clean:"}) {
      const size_t at = text->find(name);
      if (at != std::string::npos) sum += atoll(text->c_str() + at + name.size());
    }
    return sum;
  };
  // The program's own pages are private as long as one monitor runs, so only a bound on growth.
  RecordProperty("private_kib", static_cast<int>(private_kib()));
  EXPECT_LT(private_kib(), 4096);
}

}  // namespace
}  // namespace crisp
