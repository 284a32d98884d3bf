// PodMonitorTest: the whole monitor in this process, but with a launcher that runs plain host
// programs. The test's thread serves its event loop while it waits for answers. For tests only.
#pragma once

#include <signal.h>
#include <stdlib.h>

#include <memory>
#include <string>
#include <vector>

#include "base/cri_log.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "gtest/gtest.h"
#include "kernel/packet_socket.h"
#include "monitor/control_server.h"
#include "monitor/host_launcher.h"
#include "monitor/pod_monitor.h"
#include "monitor/test_client.h"

namespace crisp {

class PodMonitorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // As the daemon's state folder: exit records are synced, which is slow on a disk.
    char name[] = "/dev/shm/pod_monitor_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, nullptr);
    signal(SIGPIPE, SIG_IGN);

    loop_ = *EventLoop::Create();
    reaper_ = *Reaper::Create(*loop_);
    buffer_ = *ReadBuffer::Create(*loop_);
    pod_ = std::make_unique<PodMonitor>(
        MonitorParts{*loop_, launcher_, *reaper_, *buffer_, nullptr},
        PodMonitor::Identity{"pod", 0},
        PodMonitor::Outlets{
            .reply = [this](uint64_t connection, const monitor::Reply& reply,
                            UniqueFd fd) { server_->Reply(connection, reply, std::move(fd)); },
            .event = [this](const monitor::Packet& event) { server_->Broadcast(event); },
            .ended = [this] { ended_ = true; }});
    server_ = std::make_unique<ControlServer>(
        *loop_, ControlServer::Handler{
                    .request =
                        [this](uint64_t connection, const monitor::Request& request,
                               std::vector<UniqueFd> fds) {
                          pod_->Handle(connection, request, std::move(fds));
                        },
                    .closed = [this](uint64_t connection) { pod_->ConnectionClosed(connection); }});
    client_ = NewClient();
    ASSERT_EQ(client_->Hello().code(), 0);
  }

  void TearDown() override {
    pod_->ShutDown();
    EXPECT_TRUE(client_->Until([this] { return ended_; }));
    server_.reset();
    pod_.reset();
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }

  void Serve() { loop_->RunOnce(absl::Milliseconds(5)); }

  std::unique_ptr<TestClient> NewClient() {
    auto pair = PacketSocketPair();
    EXPECT_TRUE(server_->Adopt(std::move(pair->second)).ok());
    return std::make_unique<TestClient>(std::move(pair->first), [this] { Serve(); });
  }

  std::string Bundle(const std::string& id) { return folder_ + "/" + id; }
  std::string LogPath(const std::string& id) { return folder_ + "/logs/" + id + ".log"; }

  monitor::Request StartOf(const std::string& id, const std::vector<std::string>& args) {
    EXPECT_TRUE(MakeFolders(Bundle(id)).ok());
    const Json config = {{"process", {{"args", args}}}};
    EXPECT_TRUE(ReplaceFile(Bundle(id) + "/config.json", JsonText(config)).ok());
    monitor::Request request;
    request.mutable_start()->set_container_id(id);
    request.mutable_start()->set_bundle(Bundle(id));
    request.mutable_start()->set_log_path(LogPath(id));
    return request;
  }
  monitor::Request StartShell(const std::string& id, const std::string& script) {
    return StartOf(id, {"/bin/sh", "-c", script});
  }

  // "<stream> <tag> <content>" of each line.
  static std::vector<std::string> ReadLog(const std::string& path) {
    std::vector<std::string> lines;
    CriLogReader reader;
    const absl::StatusOr<std::string> text = ReadFile(path);
    EXPECT_TRUE(text.ok()) << text.status();
    if (!text.ok()) return lines;
    reader.Feed(*text, [&lines](const LogEntry& entry) {
      lines.push_back(Cat(entry.stream == LogEntry::Stream::kStdout ? "stdout" : "stderr",
                          entry.partial ? " P " : " F ", entry.content));
    });
    EXPECT_EQ(reader.damaged_lines(), 0u);
    EXPECT_TRUE(text->empty() || text->back() == '\n');
    return lines;
  }

  monitor::Reply Signal(const std::string& id, int signal) {
    monitor::Request request;
    request.mutable_signal()->set_container_id(id);
    request.mutable_signal()->set_signal(signal);
    return client_->Call(std::move(request));
  }
  monitor::Reply Reopen(const std::string& id) {
    monitor::Request request;
    request.mutable_reopen_log()->set_container_id(id);
    return client_->Call(std::move(request));
  }
  static monitor::Request ExecOf(const std::string& id, const std::string& exec_id,
                                 const std::string& script) {
    monitor::Request request;
    monitor::Exec& exec = *request.mutable_exec();
    exec.set_container_id(id);
    exec.set_exec_id(exec_id);
    const Json process = {{"args", {"/bin/sh", "-c", script}}};
    exec.set_process_json(JsonText(process));
    return request;
  }

  std::string folder_;
  HostLauncher launcher_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Reaper> reaper_;
  std::unique_ptr<ReadBuffer> buffer_;
  std::unique_ptr<PodMonitor> pod_;
  std::unique_ptr<ControlServer> server_;
  std::unique_ptr<TestClient> client_;
  bool ended_ = false;
};

}  // namespace crisp
