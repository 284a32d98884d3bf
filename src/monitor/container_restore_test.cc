// Restores by the real monitor, with a script in CRIU's place that leaves a process and its number,
// as CRIU does, or does not.
#include <gmock/gmock.h>
#include <signal.h>

#include "monitor/monitor_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

class RestoreTest : public MonitorTest {
 protected:
  // The script finds CRIU's work folder in $work.
  monitor::Request RestoreOf(const std::string& id, const std::string& script) {
    monitor::Request request;
    monitor::RestoreContainer& restore = *request.mutable_restore();
    *restore.mutable_start() = StartOf(id, ConfigOf(id, "true")).start();
    const std::string program = Cat(folder_, "/criu-", id);
    EXPECT_TRUE(
        ReplaceFile(program,
                    Cat("#!/bin/sh\nargs=\"$*\"\nwhile [ $# -gt 0 ]; do [ $1 != --work-dir ] "
                        "|| work=$2; shift; done\n",
                        script, "\n"),
                    0755)
            .ok());
    restore.set_criu(program);
    restore.set_images(Cat(folder_, "/images"));
    restore.set_work(Cat(folder_, "/work-", id));
    EXPECT_TRUE(MakeFolders(restore.images()).ok());
    EXPECT_TRUE(MakeFolders(restore.work()).ok());
    return request;
  }
  bool HasCgroup(const std::string& id) const { return Cgroup(*tree_, CgroupPath(id)).Exists(); }
};

TEST_F(RestoreTest, WhatCriuLeftIsTheContainer) {
  StartMonitor();
  const monitor::Reply reply =
      client_->Call(RestoreOf("one", "sleep 1000 & echo $! >$work/restored.pid"));
  ASSERT_EQ(reply.code(), 0) << reply.message();
  EXPECT_GT(reply.pid(), 1);
  EXPECT_GT(reply.started_at(), 0);
  EXPECT_EQ(ProcessesOf("one"), 1u);
  EXPECT_EQ(Signal("one", SIGKILL).code(), 0);
  const auto exit = client_->WaitForExit("one");
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->exit_code(), 137);
  EXPECT_FALSE(exit->never_ran());
}

TEST_F(RestoreTest, OneThatHasEndedAlreadyKeepsItsExitCode) {
  StartMonitor();
  // The monitor's child at once, and buried long before CRIU ends.
  const monitor::Reply reply = client_->Call(
      RestoreOf("one", "(sh -c 'echo $$ >'$work'/restored.pid; exit 7' &); sleep 0.5"));
  ASSERT_EQ(reply.code(), 0) << reply.message();
  EXPECT_EQ(client_->WaitForExit("one")->exit_code(), 7);
}

TEST_F(RestoreTest, CriuIsToldWhatComesFromOutside) {
  StartMonitor();
  monitor::Request request =
      RestoreOf("one", "echo \"$args\" >$work/args; ls -l /proc/self/fd >$work/fds; exit 1");
  ASSERT_TRUE(
      ReplaceFile(folder_ + "/images/descriptors.json", R"(["/dev/null","pipe:[11]","pipe:[12]"])")
          .ok());
  monitor::ExternalMount& mount = *request.mutable_restore()->add_external();
  mount.set_key("/new/place");
  mount.set_source("/etc/passwd");
  EXPECT_NE(client_->Call(request).code(), 0);
  const std::string args = ReadFile(folder_ + "/work-one/args").value_or("");
  for (const char* part : {"restore --images-dir", "--restore-sibling", "--manage-cgroups=ignore",
                           "]:pipe:[11]", "]:pipe:[12]", "mnt[/new/place]:/etc/passwd", "--root"}) {
    EXPECT_THAT(args, HasSubstr(part));
  }
  EXPECT_TRUE(PathExists(Bundle("one") + "/upper/new/place"));
}

// CRIU gets the end for the container, the monitor the other one.
TEST_F(RestoreTest, ATerminalOfTheSameNumberIsMade) {
  StartMonitor();
  monitor::Request request = RestoreOf(
      "one",
      "echo \"$args\" >$work/args; fd=${args#*fd[}; fd=${fd%%]*}; "
      "(exec 1>/proc/self/fd/$fd; echo it writes; exec sleep 1000) & echo $! >$work/restored.pid");
  monitor::StartContainer& start = *request.mutable_restore()->mutable_start();
  start.set_terminal(true);
  start.set_stdin(true);
  // Number 2, 136:2.
  ASSERT_TRUE(ReplaceFile(folder_ + "/images/terminal.json", R"({"rdev":34818,"dev":92})").ok());
  const monitor::Reply reply = client_->Call(request);
  ASSERT_EQ(reply.code(), 0) << reply.message();
  const std::string args = ReadFile(folder_ + "/work-one/args").value_or("");
  for (const char* part : {"]:tty[8802:5c]", "mnt[/dev/pts]:/", "/terminal/dev/pts/2"}) {
    EXPECT_THAT(args, HasSubstr(part));
  }
  EXPECT_TRUE(client_->Until([&] {
    return ReadFile(LogPath("one")).value_or("").find("it writes") != std::string::npos;
  }));
  EXPECT_EQ(Signal("one", SIGKILL).code(), 0);
}

TEST_F(RestoreTest, AFailureTellsWhatTheLogSays) {
  StartMonitor();
  const monitor::Reply reply = client_->Call(RestoreOf(
      "one",
      "sleep 1000 & echo '(00.1) Error (a.c:1): there is no way' >$work/restore.log; exit 1"));
  EXPECT_EQ(reply.code(), CodeOf(absl::StatusCode::kInternal));
  EXPECT_THAT(reply.message(), HasSubstr("there is no way"));
  const auto exit = client_->WaitForExit("one");
  ASSERT_TRUE(exit.has_value());
  EXPECT_EQ(exit->exit_code(), 128);
  EXPECT_TRUE(exit->never_ran());
  EXPECT_FALSE(HasCgroup("one"));
}

TEST_F(RestoreTest, ANumberThatIsNobodysIsAFailure) {
  StartMonitor();
  for (const char* script : {"exit 0", "echo 1 >$work/restored.pid", "echo x >$work/restored.pid",
                             "echo 999999999 >$work/restored.pid"}) {
    const std::string id = RandomId().substr(0, 8);
    EXPECT_NE(client_->Call(RestoreOf(id, script)).code(), 0) << script;
    EXPECT_FALSE(HasCgroup(id));
  }
}

TEST_F(RestoreTest, OneThatHangsIsKilled) {
  StartMonitor();
  monitor::Request request = RestoreOf("one", "sleep 1000");
  request.mutable_restore()->set_timeout_seconds(1);
  const monitor::Reply reply = client_->Call(request);
  EXPECT_EQ(reply.code(), CodeOf(absl::StatusCode::kDeadlineExceeded)) << reply.message();
  EXPECT_FALSE(HasCgroup("one"));
}

TEST_F(RestoreTest, AShutdownEndsIt) {
  StartMonitor();
  const uint64_t restore = client_->Send(RestoreOf("one", "touch $work/begun; sleep 1000"));
  EXPECT_TRUE(client_->Until([&] { return PathExists(folder_ + "/work-one/begun"); }));
  monitor::Request shutdown;
  shutdown.mutable_shutdown();
  client_->Send(shutdown);
  EXPECT_NE(client_->Wait(restore).code(), 0);
  int status = 0;
  ASSERT_EQ(waitpid(monitor_, &status, 0), monitor_);
  EXPECT_EQ(status, 0);
  monitor_ = 0;
}

TEST_F(RestoreTest, BadRequests) {
  StartMonitor();
  monitor::Request request = RestoreOf("one", "exit 0");
  request.mutable_restore()->set_criu("criu");
  EXPECT_EQ(client_->Call(request).code(), CodeOf(absl::StatusCode::kInvalidArgument));
  request = RestoreOf("two", "exit 0");
  request.mutable_restore()->mutable_start()->set_terminal(true);
  EXPECT_EQ(client_->Call(request).code(), CodeOf(absl::StatusCode::kFailedPrecondition));
  for (const char* terminal : {"[]", R"({"rdev":259,"dev":1})", R"({"rdev":-1})", "{", "null",
                               R"({"rdev":1048575999,"dev":1})"}) {
    ASSERT_TRUE(ReplaceFile(folder_ + "/images/terminal.json", terminal).ok());
    EXPECT_NE(client_->Call(request).code(), 0) << terminal;
  }
  request = RestoreOf("three", "exit 0");
  ASSERT_TRUE(RemoveFile(request.restore().criu()).ok());
  EXPECT_EQ(client_->Call(request).code(), CodeOf(absl::StatusCode::kNotFound));
  EXPECT_FALSE(HasCgroup("three"));
}

}  // namespace
}  // namespace crisp
