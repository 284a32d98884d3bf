// Containers of the monitor, from their start to their record: output, logs, input, terminals,
// exits.
#include "monitor/pod_monitor.h"

#include <fcntl.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "monitor/exit_record.h"
#include "monitor/pod_monitor_fixture.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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
