// Execs and terminals of the real monitor.
#include "gmock/gmock.h"
#include "monitor/monitor_fixture.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ExecTest : public MonitorTest {};

TEST_F(ExecTest, KillExecReachesTheWholeTree) {
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

TEST_F(ExecTest, AnExecEndsThoughItsChildrenKeepItsOutput) {
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

TEST_F(ExecTest, HasATerminal) {
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

TEST_F(ExecTest, HandsOutTheTerminalOfAnExec) {
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

}  // namespace
}  // namespace crisp
