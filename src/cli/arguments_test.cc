#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/log_view.h"
#include "cli/port_forward.h"
#include "cli/remote_streams.h"
#include "cli/run_arguments.h"
#include "cli/session.h"

namespace crisp {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

// Runs the tool and gives its exit code; what it printed is in out and err.
struct Tool {
  std::string out, err;
  int Run(std::vector<const char*> words) {
    words.insert(words.begin(), "crisp");
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int code = RunTool(static_cast<int>(words.size()), words.data());
    out = testing::internal::GetCapturedStdout();
    err = testing::internal::GetCapturedStderr();
    return code;
  }
};

TEST(Tool, WrongUsageExitsWith2AndSaysWhatIsWrong) {
  Tool tool;
  EXPECT_EQ(tool.Run({}), kWrongUsage);
  EXPECT_EQ(tool.Run({"fly"}), kWrongUsage);
  EXPECT_THAT(tool.err, HasSubstr("fly"));
  EXPECT_EQ(tool.Run({"ps", "--sideways"}), kWrongUsage);
  EXPECT_THAT(tool.err, HasSubstr("--sideways"));
  EXPECT_EQ(tool.Run({"logs"}), kWrongUsage);
  EXPECT_EQ(tool.Run({"exec", "web"}), kWrongUsage);
  EXPECT_THAT(tool.err, HasSubstr("command"));
  EXPECT_EQ(tool.Run({"exec", "-it", "--timeout", "3", "web", "sh"}), kWrongUsage);
  EXPECT_EQ(tool.Run({"run", "-it"}), kWrongUsage);
  EXPECT_EQ(tool.Run({"run", "--rm", "--detach", "image"}), kWrongUsage);
  EXPECT_EQ(tool.Run({"attach"}), kWrongUsage);
  EXPECT_EQ(tool.Run({"port-forward", "web"}), kWrongUsage);
  EXPECT_EQ(tool.Run({"port-forward", "web", "0:65536"}), kWrongUsage);
  EXPECT_THAT(tool.err, HasSubstr("[LOCAL:]REMOTE"));
  EXPECT_EQ(tool.Run({"rm"}), kWrongUsage);
  EXPECT_EQ(tool.Run({"stop", "--time", "-1", "web"}), kWrongUsage);
  EXPECT_EQ(tool.Run({"ps", "--output", "xml"}), kWrongUsage);
  EXPECT_EQ(tool.Run({"update", "web"}), kFailed);
  EXPECT_THAT(tool.err, HasSubstr("nothing to update"));
  EXPECT_EQ(tool.Run({"update", "--memory", "much", "web"}), kFailed);
  EXPECT_THAT(tool.err, HasSubstr("64M"));
  EXPECT_EQ(tool.Run({"pull", "--password-stdin", "x"}), kWrongUsage);
}

TEST(Tool, HelpAndVersionSucceedWithoutADaemon) {
  Tool tool;
  EXPECT_EQ(tool.Run({"--help"}), 0);
  for (const char* command :
       {"run", "ps", "logs", "exec", "attach", "port-forward", "stop", "update", "rm", "pull",
        "load", "images", "rmi", "inspect", "status", "version"}) {
    EXPECT_THAT(tool.out, HasSubstr(command));
    Tool help;
    EXPECT_EQ(help.Run({command, "--help"}), 0) << command;
  }
  EXPECT_EQ(tool.Run({"--version"}), 0);
}

TEST(Tool, WithoutADaemonItSaysWhereItLookedAndExitsWith3) {
  for (std::vector<const char*> words : {std::vector<const char*>{"ps"},
                                         {"exec", "web", "ls", "-l"},
                                         {"run", "busybox"},
                                         {"version"},
                                         {"pull", "busybox"},
                                         {"images", "-o", "json"}}) {
    words.insert(words.begin(), {"--endpoint", "unix:///nowhere/crispd.sock"});
    Tool tool;
    EXPECT_EQ(tool.Run(words), kNoDaemon) << words[2];
    EXPECT_THAT(tool.err, HasSubstr("unix:///nowhere/crispd.sock"));
    EXPECT_THAT(tool.err, HasSubstr("CRISP_ENDPOINT"));
  }
}

TEST(Tool, SharedOptionsStandBeforeOrAfterTheCommand) {
  Tool tool;
  EXPECT_EQ(tool.Run({"ps", "--endpoint", "/nowhere/after.sock"}), kNoDaemon);
  EXPECT_THAT(tool.err, HasSubstr("/nowhere/after.sock"));
  ::setenv("CRISP_ENDPOINT", "unix:///nowhere/environment.sock", 1);
  EXPECT_EQ(tool.Run({"ps"}), kNoDaemon);
  EXPECT_THAT(tool.err, HasSubstr("/nowhere/environment.sock"));
  EXPECT_EQ(tool.Run({"--endpoint", "/nowhere/before.sock", "ps"}), kNoDaemon);
  EXPECT_THAT(tool.err, HasSubstr("/nowhere/before.sock"));
  ::unsetenv("CRISP_ENDPOINT");
}

TEST(RemoteStreams, ExitCodes) {
  EXPECT_EQ(*ExitCodeIn(R"({"metadata":{},"status":"Success"})"), 0);
  EXPECT_EQ(*ExitCodeIn(R"({"status":"Failure","reason":"NonZeroExitCode","message":"code 7",
      "details":{"causes":[{"reason":"Other"},{"reason":"ExitCode","message":"7"}]}})"),
            7);
  EXPECT_THAT(ExitCodeIn(R"({"status":"Failure","message":"no such program"})").status().ToString(),
              HasSubstr("no such program"));
  for (const char* wrong : {"", "7", "[]", "{", R"({"status":7})", R"({"details":{"causes":7}})"})
    EXPECT_FALSE(ExitCodeIn(wrong).ok()) << wrong;
}

TEST(PortForward, Ports) {
  EXPECT_EQ(ParseForward("80")->local, 80);
  EXPECT_EQ(ParseForward("80")->remote, 80);
  EXPECT_EQ(ParseForward("8080:80")->local, 8080);
  EXPECT_EQ(ParseForward("8080:80")->remote, 80);
  EXPECT_EQ(ParseForward(":80")->local, 0);
  EXPECT_EQ(ParseForward("0:80")->local, 0);
  for (const char* wrong : {"", ":", "80:", "0", "a", "65536", "65536:1", "1:0", "1:2:3", "-1:2"})
    EXPECT_THAT(ParseForward(wrong).status().ToString(), HasSubstr("[LOCAL:]REMOTE")) << wrong;
}

TEST(RunArguments, Ports) {
  const auto port = ParsePort("8080:80");
  ASSERT_TRUE(port.ok());
  EXPECT_EQ(port->host_port(), 8080);
  EXPECT_EQ(port->container_port(), 80);
  EXPECT_EQ(port->protocol(), runtime::v1::TCP);
  EXPECT_EQ(ParsePort("53:53/udp")->protocol(), runtime::v1::UDP);
  EXPECT_EQ(ParsePort("127.0.0.1:8080:80")->host_ip(), "127.0.0.1");
  EXPECT_EQ(ParsePort("[::1]:8080:80/tcp")->host_ip(), "::1");
  for (const char* wrong : {"", "80", "80:", ":80", "0:80", "80:0", "65536:80", "80:65536", "a:80",
                            "80:80/icmp", ":80:80", "-1:80", "80:80:80:", "1 :80"}) {
    EXPECT_THAT(ParsePort(wrong).status().ToString(), HasSubstr("HOSTPORT:PODPORT")) << wrong;
  }
}

TEST(RunArguments, Volumes) {
  const auto volume = ParseVolume("/a:/b:ro");
  ASSERT_TRUE(volume.ok());
  EXPECT_EQ(volume->host_path(), "/a");
  EXPECT_EQ(volume->container_path(), "/b");
  EXPECT_TRUE(volume->readonly());
  EXPECT_FALSE(ParseVolume("/a:/b")->readonly());
  for (const char* wrong : {"", "/a", "a:/b", "/a:b", "/a:/b:rx", "/a:/b:ro:x"})
    EXPECT_THAT(ParseVolume(wrong).status().ToString(), HasSubstr("[:ro]")) << wrong;
}

TEST(RunArguments, EnvironmentAndUser) {
  EXPECT_EQ(ParseEnvironment("A=b=c")->value(), "b=c");
  EXPECT_EQ(ParseEnvironment("A=")->value(), "");
  ::setenv("CRISP_TEST_VALUE", "here", 1);
  EXPECT_EQ(ParseEnvironment("CRISP_TEST_VALUE")->value(), "here");
  ::unsetenv("CRISP_TEST_VALUE");
  EXPECT_FALSE(ParseEnvironment("CRISP_TEST_VALUE").ok());
  EXPECT_FALSE(ParseEnvironment("=x").ok());
  runtime::v1::LinuxContainerSecurityContext context;
  ASSERT_TRUE(ParseUser("1000:50", context).ok());
  EXPECT_EQ(context.run_as_user().value(), 1000);
  EXPECT_EQ(context.run_as_group().value(), 50);
  ASSERT_TRUE(ParseUser("www-data", context).ok());
  EXPECT_EQ(context.run_as_username(), "www-data");
  EXPECT_FALSE(ParseUser("", context).ok());
  EXPECT_FALSE(ParseUser("1000:staff", context).ok());
}

TEST(RunArguments, NamesFromImages) {
  EXPECT_THAT(NameFromImage("registry.k8s.io/e2e/busybox_Plus:1.36"),
              MatchesRegex("busybox-plus-[0-9a-f]{5}"));
  EXPECT_THAT(NameFromImage("nginx@sha256:0123"), MatchesRegex("nginx-[0-9a-f]{5}"));
  EXPECT_THAT(NameFromImage("___"), MatchesRegex("pod-[0-9a-f]{5}"));
  EXPECT_LE(NameFromImage(std::string(500, 'x')).size(), 63u);
}

TEST(Logs, Since) {
  EXPECT_EQ(*ParseSince("1970-01-01T00:00:01Z"), 1'000'000'000);
  EXPECT_GT(*ParseSince("10m"), 0);
  for (const char* wrong : {"", "yesterday", "-5m"})
    EXPECT_THAT(ParseSince(wrong).status().ToString(), HasSubstr("2h30m")) << wrong;
}

}  // namespace
}  // namespace crisp
