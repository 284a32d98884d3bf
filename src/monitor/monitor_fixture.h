// MonitorTest: the real program crisp-monitor with real containers made from the host's busybox, in
// a folder and cgroups of the test's own. For tests only; needs root.
#pragma once

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
#include "gtest/gtest.h"
#include "kernel/cgroup.h"
#include "kernel/packet_socket.h"
#include "monitor/exit_record.h"
#include "monitor/test_client.h"

namespace crisp {

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

}  // namespace crisp
