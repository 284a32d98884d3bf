// Exec, Attach and PortForward below the streaming server: real containers, the server's part taken
// by the test.
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/text.h"
#include "gmock/gmock.h"
#include "kernel/namespace.h"
#include "kernel/terminal.h"
#include "pod/pod_fixture.h"
#include "stream/backend.h"
#include "stream/stream_url.h"

namespace crisp {
namespace {

using absl::StatusCode;
using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr int kWaitMillis = 20000;

bool Readable(int fd) {
  struct pollfd wait = {fd, POLLIN, 0};
  return poll(&wait, 1, kWaitMillis) > 0;
}

// Until the end of the stream, or until the text has come.
std::string Read(const UniqueFd& fd, std::string_view until = "") {
  std::string text;
  char bytes[4096];
  while (Readable(fd.get())) {
    const ssize_t count = read(fd.get(), bytes, sizeof bytes);
    if (count <= 0) return text;
    text.append(bytes, count);
    if (!until.empty() && text.find(until) != std::string::npos) return text;
  }
  return text + "<nothing came>";
}

void Say(const UniqueFd& fd, std::string_view text) {
  EXPECT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

// Keeps what it was asked for.
class Urls : public StreamUrls {
 public:
  absl::StatusOr<std::string> ForExec(CommandRequest request) override {
    command = std::move(request);
    return "http://here/exec/1";
  }
  absl::StatusOr<std::string> ForAttach(CommandRequest request) override {
    command = std::move(request);
    return "http://here/attach/1";
  }
  absl::StatusOr<std::string> ForPortForward(std::string pod_id,
                                             std::vector<uint16_t> its_ports) override {
    pod = std::move(pod_id);
    ports = std::move(its_ports);
    return "http://here/portforward/1";
  }
  CommandRequest command;
  std::string pod;
  std::vector<uint16_t> ports;
};

class StreamsTest : public PodTest {
 protected:
  void SetUp() override {
    PodTest::SetUp();
    pod_ = RunPod("web");
  }
  std::unique_ptr<RemoteCommand> StartExec(const std::string& id, const std::string& script,
                                           bool tty = false, stream::TerminalSize size = {}) {
    auto command = runtime_->streams().StartExec({.container_id = id,
                                                  .cmd = {"sh", "-c", script},
                                                  .tty = tty,
                                                  .in = true,
                                                  .out = true,
                                                  .err = !tty,
                                                  .size = size},
                                                 Call());
    EXPECT_TRUE(command.ok()) << command.status();
    return command.ok() ? *std::move(command) : nullptr;
  }
  std::unique_ptr<RemoteCommand> StartAttach(const std::string& id, bool in = true) {
    auto command = runtime_->streams().StartAttach(
        {.container_id = id, .in = in, .out = true, .err = true}, Call());
    EXPECT_TRUE(command.ok()) << command.status();
    return command.ok() ? *std::move(command) : nullptr;
  }
  // A shell whose stdin is open.
  std::string Shell(const std::string& name, const std::string& script, bool once = false,
                    bool tty = false) {
    v1::CreateContainerRequest request = ContainerRequest(pod_, name, {"sh", "-c", script});
    request.mutable_config()->set_stdin(true);
    request.mutable_config()->set_stdin_once(once);
    request.mutable_config()->set_tty(tty);
    const std::string id = Create(request);
    EXPECT_TRUE(Start(id).ok());
    return id;
  }

  std::string pod_;
  Urls urls_;
};

TEST_F(StreamsTest, AnExecHasStreamsAndAnExitCode) {
  const std::string id = Running(pod_, "main", {"sleep", "1000"});
  const auto command = StartExec(id, "cat; echo bad >&2; exit 5");
  ASSERT_NE(command, nullptr);
  CommandStreams streams = command->TakeStreams();
  EXPECT_FALSE(streams.terminal.valid());
  Say(streams.in, "one\ntwo\n");
  streams.in.reset();
  EXPECT_EQ(Read(streams.out), "one\ntwo\n");
  EXPECT_EQ(Read(streams.err), "bad\n");
  ASSERT_TRUE(Readable(command->ended()));
  EXPECT_EQ(*command->ExitCode(), 5);
  EXPECT_EQ(command->Resize(80, 25).code(), StatusCode::kFailedPrecondition);
}

TEST_F(StreamsTest, AnExecWithATerminal) {
  const std::string id = Running(pod_, "main", {"sleep", "1000"});
  const auto command = StartExec(id, "echo $TERM; read x; stty size; exit 6", true);
  ASSERT_NE(command, nullptr);
  CommandStreams streams = command->TakeStreams();
  EXPECT_FALSE(streams.in.valid() || streams.out.valid() || streams.err.valid());
  EXPECT_EQ(Read(streams.terminal, "\r\n"), "xterm\r\n");
  EXPECT_TRUE(command->Resize(132, 43).ok());
  EXPECT_EQ(GetTerminalSize(streams.terminal.get())->columns, 132);
  EXPECT_EQ(GetTerminalSize(streams.terminal.get())->rows, 43);
  Say(streams.terminal, "go\n");
  EXPECT_EQ(Read(streams.terminal), "go\r\n43 132\r\n");
  ASSERT_TRUE(Readable(command->ended()));
  EXPECT_EQ(*command->ExitCode(), 6);
}

TEST_F(StreamsTest, ATerminalOfAKnownSizeHasItFromTheStart) {
  const std::string id = Running(pod_, "main", {"sleep", "1000"});
  const auto command = StartExec(id, "stty size", true, {100, 40});
  ASSERT_NE(command, nullptr);
  EXPECT_EQ(Read(command->TakeStreams().terminal), "40 100\r\n");
}

TEST_F(StreamsTest, AnExecGoesOnWithoutItsClient) {
  const std::string id = Running(pod_, "main", {"sleep", "1000"});
  auto command = StartExec(id, "read x; touch /tmp/after");
  ASSERT_NE(command, nullptr);
  command->TakeStreams();
  command.reset();
  for (int i = 0; i < 1000 && !Exec(id, {"ls", "/tmp"})->stdout().starts_with("after"); ++i) {
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_EQ(Exec(id, {"ls", "/tmp"})->stdout(), "after\n");
}

TEST_F(StreamsTest, AnExecThatCannotStart) {
  const std::string id = Running(pod_, "main", {"sleep", "1000"});
  const auto command = runtime_->streams().StartExec(
      {.container_id = id, .cmd = {"/no/such/program"}, .out = true}, Call());
  EXPECT_THAT(command.status().ToString(), HasSubstr("/no/such/program"));
  EXPECT_TRUE(Stop(id, 0).ok());
  EXPECT_EQ(runtime_->streams()
                .StartExec({.container_id = id, .cmd = {"ls"}, .out = true}, Call())
                .status()
                .code(),
            StatusCode::kFailedPrecondition);
}

TEST_F(StreamsTest, SeveralClientsAttach) {
  const std::string id = Shell("cat", "echo before; while read x; do echo \"<$x>\"; done; exit 4");
  for (int i = 0; i < 1000 && Log("cat").find("before") == std::string::npos; ++i) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  const auto first = StartAttach(id), second = StartAttach(id), third = StartAttach(id, false);
  ASSERT_TRUE(first && second && third);
  CommandStreams one = first->TakeStreams(), two = second->TakeStreams(),
                 three = third->TakeStreams();
  EXPECT_FALSE(three.in.valid());
  Say(one.in, "a\n");
  for (const CommandStreams* each : {&one, &two, &three}) EXPECT_EQ(Read(each->out, "\n"), "<a>\n");
  one.in.reset();
  one.out.reset();
  one.err.reset();
  ASSERT_TRUE(Readable(first->ended()));
  Say(two.in, "b\n");
  EXPECT_EQ(Read(two.out, "\n"), "<b>\n");
  EXPECT_EQ(Read(three.out, "\n"), "<b>\n");
  EXPECT_EQ(second->Resize(80, 25).code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Stop(id, 0).ok());
  EXPECT_EQ(Read(two.out), "");
  ASSERT_TRUE(Readable(second->ended()));
  ASSERT_TRUE(Readable(third->ended()));
  EXPECT_EQ(*third->ExitCode(), 0);
  EXPECT_THAT(Log("cat"), HasSubstr("stdout F <b>\n"));
}

TEST_F(StreamsTest, StdinOnceEndsWithItsFirstClient) {
  const std::string id = Shell("once", "cat; exit 7", true);
  const auto attached = StartAttach(id);
  ASSERT_NE(attached, nullptr);
  CommandStreams streams = attached->TakeStreams();
  Say(streams.in, "all\n");
  streams.in.reset();
  EXPECT_EQ(Read(streams.out), "all\n");
  ASSERT_TRUE(Readable(attached->ended()));
  // The exit is known by then.
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(Status(id).exit_code(), 7);
}

TEST_F(StreamsTest, AttachToATerminal) {
  const std::string id =
      Shell("terminal", "while read x; do echo \"got $x\" >&2; done", false, true);
  const auto attached = StartAttach(id);
  ASSERT_NE(attached, nullptr);
  CommandStreams streams = attached->TakeStreams();
  EXPECT_TRUE(attached->Resize(100, 30).ok());
  EXPECT_FALSE(attached->Resize(0, 30).ok());
  Say(streams.in, "it\n");
  EXPECT_THAT(Read(streams.out, "got"), HasSubstr("it\r\n"));
  EXPECT_EQ(Exec(id, {"sh", "-c", "stty size </proc/1/fd/0"})->stdout(), "30 100\n");
  // The end of a client's input is not the terminal's.
  streams.in.reset();
  const auto again = StartAttach(id);
  ASSERT_NE(again, nullptr);
  CommandStreams other = again->TakeStreams();
  Say(other.in, "more\n");
  EXPECT_THAT(Read(other.out, "got more\r\n"), EndsWith("got more\r\n"));
}

TEST_F(StreamsTest, ASlowClientIsCutAndTheContainerGoesOn) {
  const std::string id =
      Shell("much", "read x; dd if=/dev/zero bs=65536 count=64 2>/dev/null; exit 2");
  const auto slow = StartAttach(id);
  ASSERT_NE(slow, nullptr);
  CommandStreams streams = slow->TakeStreams();
  Say(streams.in, "go\n");
  EXPECT_EQ(Await(id, v1::CONTAINER_EXITED).exit_code(), 2);
  ASSERT_TRUE(Readable(slow->ended()));
  EXPECT_EQ(slow->ExitCode().status().code(), StatusCode::kResourceExhausted);
  EXPECT_LE(Read(streams.out).size(), size_t{1} << 20);
}

TEST_F(StreamsTest, AnAttachmentEndsWithItsDaemon) {
  const std::string id = Shell("stays", "while read x; do echo \"<$x>\"; done");
  auto attached = StartAttach(id);
  ASSERT_NE(attached, nullptr);
  CommandStreams streams = attached->TakeStreams();
  attached.reset();
  Restart();
  streams = CommandStreams();
  const auto again = StartAttach(id);
  ASSERT_NE(again, nullptr);
  CommandStreams other = again->TakeStreams();
  Say(other.in, "again\n");
  EXPECT_EQ(Read(other.out, "\n"), "<again>\n");
}

TEST_F(StreamsTest, DialsPortsInThePod) {
  const std::string id = Running(pod_, "main", {"sleep", "1000"});
  const auto server = StartExec(id, "echo welcome | nc -l -p 8080");
  // One that only IPv6 reaches.
  UniqueFd listener6;
  const auto netns = OpenFile(At(Cat("netns/crisp-", pod_.substr(0, 32))), O_RDONLY);
  ASSERT_TRUE(netns.ok()) << netns.status();
  ASSERT_TRUE(InNamespace(netns->get(), [&] {
                listener6.reset(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
                return absl::OkStatus();
              }).ok());
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  address.sin6_port = htons(8081);
  ASSERT_EQ(bind(listener6.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener6.get(), 5), 0);
  const auto dial = [&](uint16_t port) {
    absl::StatusOr<UniqueFd> socket = runtime_->streams().DialPort(pod_, port, Call());
    for (int i = 0; i < 500 && absl::IsUnavailable(socket.status()); ++i) {
      absl::SleepFor(absl::Milliseconds(10));
      socket = runtime_->streams().DialPort(pod_, port, Call());
    }
    EXPECT_TRUE(socket.ok()) << socket.status();
    return socket.ok() ? *std::move(socket) : UniqueFd();
  };
  EXPECT_EQ(Read(dial(8080), "\n"), "welcome\n");
  EXPECT_TRUE(dial(8081).valid());
  const absl::Status closed = runtime_->streams().DialPort(pod_, 9999, Call()).status();
  EXPECT_EQ(closed.code(), StatusCode::kUnavailable);
  EXPECT_THAT(closed.ToString(), HasSubstr("9999"));
  EXPECT_TRUE(StopPod(pod_).ok());
  EXPECT_EQ(runtime_->streams().DialPort(pod_, 8080, Call()).status().code(),
            StatusCode::kNotFound);
}

TEST_F(StreamsTest, DialsTheHostForAPodInItsNetwork) {
  v1::RunPodSandboxRequest request = PodRequest("host");
  request.mutable_config()->clear_hostname();
  request.mutable_config()
      ->mutable_linux()
      ->mutable_security_context()
      ->mutable_namespace_options()
      ->set_network(v1::NODE);
  const std::string pod = RunPod(request);
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener.get(), 5), 0);
  ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const uint16_t port = ntohs(address.sin_port);
  EXPECT_TRUE(runtime_->streams().DialPort(pod, port, Call()).ok());
  EXPECT_EQ(runtime_->streams().DialPort(pod_, port, Call()).status().code(),
            StatusCode::kUnavailable);
}

TEST_F(StreamsTest, TheVerbsCheckWhatIsAskedFor) {
  const std::string id = Running(pod_, "main", {"sleep", "1000"});
  const auto exec = [&](const std::string& container, bool tty, bool out, bool err,
                        const std::vector<std::string>& cmd) {
    v1::ExecRequest request;
    request.set_container_id(container);
    request.set_tty(tty);
    request.set_stdout(out);
    request.set_stderr(err);
    for (const std::string& word : cmd) request.add_cmd(word);
    return runtime_->Exec(request, urls_, Call());
  };
  const auto attach = [&](const std::string& container, bool tty, bool out, bool err) {
    v1::AttachRequest request;
    request.set_container_id(container);
    request.set_tty(tty);
    request.set_stdout(out);
    request.set_stderr(err);
    return runtime_->Attach(request, urls_, Call());
  };
  EXPECT_EQ(exec(id.substr(0, 12), false, true, true, {"ls", "-l"})->url(), "http://here/exec/1");
  EXPECT_EQ(urls_.command.container_id, id);
  EXPECT_THAT(urls_.command.cmd, testing::ElementsAre("ls", "-l"));
  EXPECT_TRUE(urls_.command.out && urls_.command.err && !urls_.command.in && !urls_.command.tty);
  EXPECT_EQ(exec(id, true, true, true, {"ls"}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(exec(id, false, false, false, {"ls"}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(exec(id, false, true, false, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(exec("", false, true, false, {"ls"}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(exec("none", false, true, false, {"ls"}).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(attach(id, true, true, false)->url(), "http://here/attach/1");
  EXPECT_TRUE(urls_.command.tty && urls_.command.cmd.empty());
  EXPECT_EQ(attach(id, true, true, true).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(attach(id, false, false, false).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(attach("none", false, true, false).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(Stop(id, 0).ok());
  EXPECT_EQ(exec(id, false, true, false, {"ls"}).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(attach(id, false, true, false).status().code(), StatusCode::kFailedPrecondition);

  v1::PortForwardRequest forward;
  forward.set_pod_sandbox_id(pod_);
  EXPECT_EQ(runtime_->PortForward(forward, urls_, Call())->url(), "http://here/portforward/1");
  EXPECT_EQ(urls_.pod, pod_);
  forward.add_port(80);
  forward.add_port(65535);
  EXPECT_TRUE(runtime_->PortForward(forward, urls_, Call()).ok());
  EXPECT_THAT(urls_.ports, testing::ElementsAre(80, 65535));
  for (const int32_t wrong : {0, -1, 65536}) {
    forward.set_port(0, wrong);
    EXPECT_EQ(runtime_->PortForward(forward, urls_, Call()).status().code(),
              StatusCode::kInvalidArgument);
  }
  forward.clear_port();
  EXPECT_TRUE(StopPod(pod_).ok());
  EXPECT_EQ(runtime_->PortForward(forward, urls_, Call()).status().code(),
            StatusCode::kFailedPrecondition);
  forward.set_pod_sandbox_id("none");
  EXPECT_EQ(runtime_->PortForward(forward, urls_, Call()).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace crisp
