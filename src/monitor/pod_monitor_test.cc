// The whole monitor in this process, but with a launcher that runs plain host programs: what it
// does with output, logs, exits, requests and peers.
#include "monitor/pod_monitor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdlib>

#include "base/cri_log.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/packet_socket.h"
#include "monitor/control_server.h"
#include "monitor/exit_record.h"
#include "monitor/host_launcher.h"
#include "monitor/test_client.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

int CodeOf(absl::StatusCode code) { return static_cast<int>(code); }

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

TEST_F(PodMonitorTest, RunsAContainerAndRecordsItsExit) {
  const monitor::Reply reply =
      client_->Call(StartShell("one", "echo out; echo err >&2; sleep 0.05; printf end; exit 7"));
  ASSERT_EQ(reply.code(), 0) << reply.message();
  EXPECT_GT(reply.pid(), 0);
  EXPECT_GT(reply.started_at(), 0);
  EXPECT_EQ(client_->NextEvent().container_started().pid(), reply.pid());
  const auto exit = client_->WaitForExit("one");
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->exit_code(), 7);
  EXPECT_EQ(exit->started_at(), reply.started_at());
  EXPECT_GE(exit->finished_at(), exit->started_at());
  EXPECT_FALSE(exit->oom_killed());
  EXPECT_FALSE(exit->never_ran());
  const absl::StatusOr<monitor::ExitRecord> record = ReadExitRecord(Bundle("one"));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->SerializeAsString(), exit->SerializeAsString());
  EXPECT_THAT(ReadLog(LogPath("one")),
              testing::UnorderedElementsAre("stdout F out", "stderr F err", "stdout P end"));
}

TEST_F(PodMonitorTest, AStartThatFailsLeavesARecordAndAnEvent) {
  const monitor::Reply reply = client_->Call(StartOf("one", {"/does/not/exist"}));
  EXPECT_EQ(reply.code(), CodeOf(absl::StatusCode::kNotFound));
  EXPECT_THAT(reply.message(), HasSubstr("/does/not/exist"));
  const auto exit = client_->WaitForExit("one");
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->exit_code(), 128);
  EXPECT_TRUE(exit->never_ran());
  EXPECT_EQ(exit->message(), reply.message());
  EXPECT_TRUE(ReadExitRecord(Bundle("one")).ok());
  EXPECT_EQ(client_->Call(StartOf("one", {"/bin/true"})).code(),
            CodeOf(absl::StatusCode::kAlreadyExists));
}

TEST_F(PodMonitorTest, AnUnwritableLogFailsTheStart) {
  monitor::Request request = StartOf("one", {"/bin/true"});
  ASSERT_TRUE(ReplaceFile(folder_ + "/file", "").ok());
  request.mutable_start()->set_log_path(folder_ + "/file/0.log");
  const monitor::Reply reply = client_->Call(request);
  EXPECT_NE(reply.code(), 0);
  EXPECT_THAT(reply.message(), HasSubstr("/file/0.log"));
  EXPECT_TRUE(ReadExitRecord(Bundle("one"))->never_ran());
}

TEST_F(PodMonitorTest, RefusesWhatMakesNoSense) {
  using absl::StatusCode;
  const auto code = [this](const std::function<void(monitor::Request&)>& fill) {
    monitor::Request request;
    fill(request);
    return client_->Call(std::move(request)).code();
  };
  EXPECT_EQ(code([](monitor::Request&) {}), CodeOf(StatusCode::kUnimplemented));
  EXPECT_EQ(code([](monitor::Request& r) { r.mutable_hello()->set_protocol(99); }),
            CodeOf(StatusCode::kFailedPrecondition));
  for (const char* id : {"", ".", "../x", "a/b", "a b"}) {
    EXPECT_EQ(code([id](monitor::Request& r) { r.mutable_start()->set_container_id(id); }),
              CodeOf(StatusCode::kInvalidArgument));
  }
  EXPECT_EQ(code([](monitor::Request& r) { r.mutable_start()->set_container_id("x"); }),
            CodeOf(StatusCode::kInvalidArgument));
  EXPECT_EQ(code([](monitor::Request& r) { r.mutable_signal()->set_container_id("x"); }),
            CodeOf(StatusCode::kNotFound));
  EXPECT_EQ(code([](monitor::Request& r) { r.mutable_forget()->set_container_id("x"); }),
            CodeOf(StatusCode::kNotFound));
  EXPECT_EQ(code([](monitor::Request& r) {
              r.mutable_exec()->set_container_id("x");
              r.mutable_exec()->set_exec_id("y");
            }),
            CodeOf(StatusCode::kNotFound));

  ASSERT_EQ(client_->Call(StartShell("one", "exec sleep 60")).code(), 0);
  EXPECT_EQ(client_->Call(StartShell("one", "true")).code(), CodeOf(StatusCode::kAlreadyExists));
  EXPECT_EQ(Signal("one", 0).code(), CodeOf(StatusCode::kInvalidArgument));
  EXPECT_EQ(Signal("one", 65).code(), CodeOf(StatusCode::kInvalidArgument));
  EXPECT_EQ(code([](monitor::Request& r) { r.mutable_forget()->set_container_id("one"); }),
            CodeOf(StatusCode::kFailedPrecondition));
  EXPECT_EQ(code([](monitor::Request& r) {
              r.mutable_resize()->set_container_id("one");
              r.mutable_resize()->set_width(80);
              r.mutable_resize()->set_height(24);
            }),
            CodeOf(StatusCode::kFailedPrecondition));
  EXPECT_EQ(code([](monitor::Request& r) {
              r.mutable_kill_exec()->set_container_id("one");
              r.mutable_kill_exec()->set_exec_id("none");
            }),
            CodeOf(StatusCode::kNotFound));
  monitor::Request exec = ExecOf("one", "e", "true");
  exec.mutable_exec()->set_has_stdout(true);
  EXPECT_EQ(client_->Call(exec).code(), CodeOf(StatusCode::kInvalidArgument));
}

TEST_F(PodMonitorTest, SignalsAndForgets) {
  ASSERT_EQ(client_->Call(StartShell("one", "exec sleep 60")).code(), 0);
  EXPECT_EQ(Signal("one", SIGTERM).code(), 0);
  EXPECT_EQ(client_->WaitForExit("one")->exit_code(), 128 + SIGTERM);
  EXPECT_EQ(Signal("one", SIGTERM).code(), CodeOf(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(Reopen("one").code(), CodeOf(absl::StatusCode::kFailedPrecondition));
  monitor::Request forget;
  forget.mutable_forget()->set_container_id("one");
  EXPECT_EQ(client_->Call(forget).code(), 0);
  monitor::Request list;
  list.mutable_list();
  EXPECT_THAT(client_->Call(list).containers(), IsEmpty());
}

TEST_F(PodMonitorTest, LosesNoLineWhenTheLogIsReopened) {
  constexpr int kLines = 30000;
  ASSERT_EQ(client_
                ->Call(StartShell("one",
                                  "i=0; while [ $i -lt 30000 ]; do echo line $i; "
                                  "i=$((i+1)); done"))
                .code(),
            0);
  std::vector<std::string> files;
  for (int i = 0; i < 50; ++i) {
    files.push_back(LogPath("one") + "." + std::to_string(i));
    if (rename(LogPath("one").c_str(), files.back().c_str()) != 0) break;
    const monitor::Reply reply = Reopen("one");
    if (reply.code() != 0) {
      EXPECT_EQ(reply.code(), CodeOf(absl::StatusCode::kFailedPrecondition)) << reply.message();
      break;
    }
    EXPECT_TRUE(PathExists(LogPath("one")));
  }
  ASSERT_TRUE(client_->WaitForExit("one").has_value());
  if (PathExists(LogPath("one"))) files.push_back(LogPath("one"));
  std::vector<std::string> lines;
  for (const std::string& file : files) {
    for (std::string& line : ReadLog(file)) lines.push_back(std::move(line));
  }
  ASSERT_EQ(lines.size(), static_cast<size_t>(kLines));
  for (int i = 0; i < kLines; ++i) ASSERT_EQ(lines[i], Cat("stdout F line ", i));
}

TEST_F(PodMonitorTest, ABackgroundProcessDelaysNoExitAndIsStillRead) {
  ASSERT_EQ(client_
                ->Call(StartShell("one", "(until [ -e " + folder_ +
                                             "/go ]; do sleep 0.02; done; echo late) & "
                                             "echo early; printf unfinished"))
                .code(),
            0);
  ASSERT_TRUE(client_->WaitForExit("one").has_value());
  EXPECT_THAT(ReadLog(LogPath("one")), ElementsAre("stdout F early", "stdout P unfinished"));
  ASSERT_TRUE(ReplaceFile(folder_ + "/go", "").ok());
  EXPECT_TRUE(client_->Until([this] { return ReadLog(LogPath("one")).size() == 3; }));
  EXPECT_EQ(ReadLog(LogPath("one")).back(), "stdout F late");
}

TEST_F(PodMonitorTest, GivesAContainerInputThatStaysOpen) {
  monitor::Request request = StartShell("one", "read line; echo got $line");
  request.mutable_start()->set_stdin(true);
  ASSERT_EQ(client_->Call(request).code(), 0);
  for (int i = 0; i < 10; ++i) Serve();
  EXPECT_EQ(Signal("one", 0).code(), CodeOf(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Signal("one", SIGKILL).code(), 0);
  ASSERT_EQ(client_->Call(StartShell("two", "read line; echo end $?")).code(), 0);
  ASSERT_TRUE(client_->WaitForExit("two").has_value());
  EXPECT_THAT(ReadLog(LogPath("two")), ElementsAre("stdout F end 1"));
}

TEST_F(PodMonitorTest, ReadsATerminalAndResizesIt) {
  monitor::Request request = StartShell("one", "echo one; echo two >&2; until [ -e " + folder_ +
                                                   "/go ]; do sleep 0.02; done; stty size");
  request.mutable_start()->set_terminal(true);
  ASSERT_EQ(client_->Call(request).code(), 0);
  monitor::Request resize;
  resize.mutable_resize()->set_container_id("one");
  resize.mutable_resize()->set_width(101);
  resize.mutable_resize()->set_height(42);
  EXPECT_EQ(client_->Call(resize).code(), 0);
  ASSERT_TRUE(ReplaceFile(folder_ + "/go", "").ok());
  ASSERT_TRUE(client_->WaitForExit("one").has_value());
  EXPECT_THAT(ReadLog(LogPath("one")),
              ElementsAre("stdout F one", "stdout F two", "stdout F 42 101"));
}

TEST_F(PodMonitorTest, ExecsGetTheirDescriptorsAndReportTheirEnd) {
  ASSERT_EQ(client_->Call(StartShell("one", "exec sleep 60")).code(), 0);
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  monitor::Request request = ExecOf("one", "e1", "echo hello; exit 3");
  request.mutable_exec()->set_has_stdout(true);
  const monitor::Reply reply = client_->Call(request, {write_end.get()});
  write_end.reset();
  ASSERT_EQ(reply.code(), 0) << reply.message();
  EXPECT_GT(reply.pid(), 0);
  EXPECT_EQ(client_->WaitForExec("e1")->exit_code(), 3);
  EXPECT_EQ(*ReadFd(read_end.get(), "pipe"), "hello\n");

  // The process in a memory file, and one that cannot be executed.
  UniqueFd memory(memfd_create("process", MFD_CLOEXEC));
  const std::string process = R"({"args": ["/bin/sh", "-c", "exit 5"]})";
  ASSERT_EQ(write(memory.get(), process.data(), process.size()),
            static_cast<ssize_t>(process.size()));
  request = ExecOf("one", "e2", "");
  request.mutable_exec()->clear_process_json();
  ASSERT_EQ(client_->Call(request, {memory.get()}).code(), 0);
  EXPECT_EQ(client_->WaitForExec("e2")->exit_code(), 5);
  EXPECT_EQ(client_->Call(request, {read_end.get()}).code(),
            CodeOf(absl::StatusCode::kInvalidArgument));
  request = ExecOf("one", "e3", "");
  request.mutable_exec()->set_process_json(R"({"args": ["/none"]})");
  EXPECT_EQ(client_->Call(request).code(), CodeOf(absl::StatusCode::kNotFound));
  request.mutable_exec()->set_process_json("{");
  EXPECT_NE(client_->Call(request).code(), 0);
}

TEST_F(PodMonitorTest, KillsExecsOnRequestAndWithTheirConnection) {
  ASSERT_EQ(client_->Call(StartShell("one", "exec sleep 60")).code(), 0);
  ASSERT_EQ(client_->Call(ExecOf("one", "e1", "exec sleep 60")).code(), 0);
  EXPECT_EQ(client_->Call(ExecOf("one", "e1", "true")).code(),
            CodeOf(absl::StatusCode::kAlreadyExists));
  monitor::Request kill;
  kill.mutable_kill_exec()->set_container_id("one");
  kill.mutable_kill_exec()->set_exec_id("e1");
  EXPECT_EQ(client_->Call(kill).code(), 0);
  EXPECT_EQ(client_->WaitForExec("e1")->exit_code(), 128 + SIGKILL);

  std::unique_ptr<TestClient> other = NewClient();
  ASSERT_EQ(other->Hello().code(), 0);
  monitor::Request bound = ExecOf("one", "bound", "exec sleep 60");
  bound.mutable_exec()->set_end_with_connection(true);
  ASSERT_EQ(other->Call(bound).code(), 0);
  ASSERT_EQ(other->Call(ExecOf("one", "free", "exec sleep 60")).code(), 0);
  other.reset();
  EXPECT_EQ(client_->WaitForExec("bound")->exit_code(), 128 + SIGKILL);
  const monitor::Reply hello = client_->Hello();
  ASSERT_EQ(hello.execs_size(), 1);
  EXPECT_EQ(hello.execs(0).exec_id(), "free");
}

TEST_F(PodMonitorTest, TellsANewConnectionEverything) {
  ASSERT_EQ(client_->Call(StartShell("one", "exec sleep 60")).code(), 0);
  ASSERT_EQ(client_->Call(StartShell("two", "exit 9")).code(), 0);
  ASSERT_TRUE(client_->WaitForExit("two").has_value());
  client_->Close();
  client_ = NewClient();
  const monitor::Reply hello = client_->Hello();
  EXPECT_EQ(hello.protocol(), kMonitorProtocol);
  EXPECT_EQ(hello.monitor_pid(), getpid());
  ASSERT_EQ(hello.containers_size(), 2);
  EXPECT_EQ(hello.containers(0).container_id(), "one");
  EXPECT_FALSE(hello.containers(0).exited());
  EXPECT_GT(hello.containers(0).pid(), 0);
  EXPECT_TRUE(hello.containers(1).exited());
  EXPECT_EQ(hello.containers(1).exit().exit_code(), 9);
}

TEST_F(PodMonitorTest, CutsPeersThatSendGarbageOrDoNotRead) {
  std::unique_ptr<TestClient> garbage = NewClient();
  ASSERT_TRUE(SendPacket(garbage->socket(), "\xff\xff\xff").ok());
  EXPECT_EQ(garbage->Wait(0).code(), CodeOf(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(garbage->Until([&] { return garbage->peer_closed(); }));

  std::unique_ptr<TestClient> deaf = NewClient();
  const size_t before = server_->connections();
  monitor::Request request;
  request.mutable_hello()->set_protocol(kMonitorProtocol);
  const std::string packet = request.SerializeAsString();
  for (int i = 0; i < 2'000'000 && server_->connections() == before; ++i) {
    if (!SendPacket(deaf->socket(), packet).ok()) Serve();
  }
  EXPECT_EQ(server_->connections(), before - 1);
  EXPECT_EQ(client_->Hello().code(), 0);
}

TEST_F(PodMonitorTest, TellsEverythingInOnePacketHoweverMuchThereIs) {
  const auto id = [](char kind, int i) {
    const std::string number = std::to_string(i);
    return std::string(1, kind) + std::string(79 - number.size(), 'x') + number;
  };
  const std::string missing = "/" + std::string(3000, 'm');
  ASSERT_EQ(client_->Call(StartShell(id('a', 0), "exec sleep 600")).code(), 0);
  for (int i = 1; i < 400; ++i) {
    EXPECT_NE(client_->Call(StartOf(id('c', i), {missing})).code(), 0);
  }
  EXPECT_EQ(client_->Call(StartOf("more", {"/bin/true"})).code(),
            CodeOf(absl::StatusCode::kResourceExhausted));
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(client_->Call(ExecOf(id('a', 0), id('e', i), "exec sleep 600")).code(), 0);
  }
  EXPECT_EQ(client_->Call(ExecOf(id('a', 0), "more", "true")).code(),
            CodeOf(absl::StatusCode::kResourceExhausted));
  const monitor::Reply hello = client_->Hello();
  ASSERT_EQ(hello.code(), 0) << hello.message();
  EXPECT_EQ(hello.containers_size(), 400);
  EXPECT_EQ(hello.execs_size(), 200);
}

TEST_F(PodMonitorTest, AnAttachedClientHearsOfTheEndAfterTheExit) {
  monitor::Request start = StartShell("one", "read line; echo got $line; echo bad >&2; exit 3");
  start.mutable_start()->set_stdin(true);
  ASSERT_EQ(client_->Call(start).code(), 0);
  int in[2], out[2], err[2];
  for (int* const ends : {in, out, err}) ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd write_in(in[1]), read_out(out[0]), read_err(err[0]);
  monitor::Request request;
  monitor::Attach& attach = *request.mutable_attach();
  attach.set_container_id("one");
  attach.set_attach_id("a");
  attach.set_has_stdin(true);
  attach.set_has_stdout(true);
  attach.set_has_stderr(true);
  // Two of three, then in the wrong order.
  EXPECT_EQ(client_->Call(request, {in[0], out[1]}).code(),
            CodeOf(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(client_->Call(request, {out[1], in[0], err[1]}).message(), HasSubstr("stdin"));
  ASSERT_EQ(client_->Call(request, {in[0], out[1], err[1]}).code(), 0);
  for (const int fd : {in[0], out[1], err[1]}) close(fd);
  ASSERT_EQ(write(write_in.get(), "it\n", 3), 3);
  ASSERT_TRUE(client_->WaitForExit("one").has_value());
  EXPECT_THAT(ReadLog(LogPath("one")),
              testing::UnorderedElementsAre("stdout F got it", "stderr F bad"));
  const monitor::AttachEnded ended = client_->NextEvent().attach_ended();
  EXPECT_EQ(ended.attach_id(), "a");
  EXPECT_EQ(ended.container_id(), "one");
  EXPECT_EQ(*ReadFd(read_out.get(), "stdout"), "got it\n");
  EXPECT_EQ(*ReadFd(read_err.get(), "stderr"), "bad\n");
  EXPECT_EQ(client_->Call(request, {read_out.get(), write_in.get(), write_in.get()}).code(),
            CodeOf(absl::StatusCode::kFailedPrecondition));
}

TEST_F(PodMonitorTest, ServesSeveralConnectionsButNotTooMany) {
  std::unique_ptr<TestClient> other = NewClient();
  ASSERT_EQ(other->Hello().code(), 0);
  ASSERT_EQ(client_->Call(StartShell("one", "exit 1")).code(), 0);
  EXPECT_TRUE(client_->WaitForExit("one").has_value());
  EXPECT_TRUE(other->WaitForExit("one").has_value());
  std::vector<UniqueFd> held;
  absl::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) {
    auto pair = PacketSocketPair();
    status = server_->Adopt(std::move(pair->second));
    held.push_back(std::move(pair->first));
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(PodMonitorTest, ShutsDownWithEverythingRecorded) {
  ASSERT_EQ(client_->Call(StartShell("one", "trap '' TERM; while :; do sleep 0.1; done")).code(),
            0);
  ASSERT_EQ(client_->Call(StartShell("two", "exit 0")).code(), 0);
  monitor::Request shutdown;
  shutdown.mutable_shutdown();
  EXPECT_EQ(client_->Call(shutdown).code(), 0);
  EXPECT_TRUE(ended_);
  EXPECT_EQ(ReadExitRecord(Bundle("one"))->exit_code(), 128 + SIGKILL);
  EXPECT_TRUE(ReadExitRecord(Bundle("two")).ok());
  EXPECT_EQ(client_->Call(StartShell("three", "true")).code(),
            CodeOf(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace crisp
