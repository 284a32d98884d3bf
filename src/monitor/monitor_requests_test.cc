// What the monitor makes of requests, execs and peers, of those that make no sense, too.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "monitor/pod_monitor_fixture.h"

namespace crisp {
namespace {

using MonitorRequestsTest = PodMonitorTest;

TEST_F(MonitorRequestsTest, RefusesWhatMakesNoSense) {
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

TEST_F(MonitorRequestsTest, ExecsGetTheirDescriptorsAndReportTheirEnd) {
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

TEST_F(MonitorRequestsTest, KillsExecsOnRequestAndWithTheirConnection) {
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

TEST_F(MonitorRequestsTest, TellsANewConnectionEverything) {
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

TEST_F(MonitorRequestsTest, CutsPeersThatSendGarbageOrDoNotRead) {
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

TEST_F(MonitorRequestsTest, TellsEverythingInOnePacketHoweverMuchThereIs) {
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

TEST_F(MonitorRequestsTest, ServesSeveralConnectionsButNotTooMany) {
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

}  // namespace
}  // namespace crisp
