// Exec, Attach and PortForward through the streaming server, with `crisp` as the client.
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <atomic>
#include <charconv>
#include <thread>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/text.h"
#include "registry/test_certificates.h"
#include "test/integration/crisp_session.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::EndsWith;
using testing::HasSubstr;
using Input = CrispSession::Input;

class Streaming : public NodeTest {
 protected:
  std::unique_ptr<CrispSession> Crisp(const std::vector<std::string>& words,
                                      Input input = Input::kPipes) {
    return std::make_unique<CrispSession>(daemon().endpoint(), words, input);
  }
  // A container with open stdin.
  std::string StartReader(const Pod& pod, const std::string& name, const std::string& script,
                          bool once = false, bool tty = false) {
    v1::ContainerConfig config = ContainerConfig(name, Shell(script));
    config.set_stdin(true);
    config.set_stdin_once(once);
    config.set_tty(tty);
    return Start(pod, config);
  }
  // A connection to a port of this machine.
  static UniqueFd Dial(int port) {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  static std::string ReadToEnd(const UniqueFd& fd) {
    std::string text;
    char bytes[16384];
    struct pollfd wait = {fd.get(), POLLIN, 0};
    while (poll(&wait, 1, 20000) > 0) {
      const ssize_t count = read(fd.get(), bytes, sizeof bytes);
      if (count <= 0) return text;
      text.append(bytes, count);
    }
    ADD_FAILURE() << "nothing came within 20 s after: " << text;
    return text;
  }
  // "127.0.0.1:PORT leads to ..." of a crisp port-forward.
  static int LocalPort(CrispSession& session) {
    const std::string line = session.ReadUntil("\n");
    const size_t colon = line.find(':');
    int port = 0;
    if (colon != std::string::npos) {
      std::from_chars(line.data() + colon + 1, line.data() + line.size(), port);
    }
    EXPECT_GT(port, 0) << line;
    return port;
  }
};

TEST_F(Streaming, AnExecPassesStreamsAndItsExitCode) {
  StartIdle(RunPod("demo"));
  const auto session = Crisp({"exec", "-i", "demo", "sh", "-c", "cat; echo bad >&2; exit 5"});
  session->Say("one\n");
  EXPECT_EQ(session->ReadUntil("\n"), "one\n");
  session->Say("two\n");
  session->EndInput();
  EXPECT_EQ(session->ReadAll(), "two\n");
  EXPECT_EQ(session->ReadErrors(), "bad\n");
  EXPECT_EQ(session->Wait(), 5);
}

TEST_F(Streaming, ManyBytesPassUnchanged) {
  StartIdle(RunPod("bytes"));
  const auto session = Crisp({"exec", "-i", "bytes", "sh", "-c", "head -c 3000000 | cat"});
  std::string data(3'000'000, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 7 + i / 251);
  std::thread writer([&] { session->Say(data); });
  std::string came = session->ReadAll();
  writer.join();
  EXPECT_TRUE(came == data) << came.size();
  EXPECT_EQ(session->Wait(), 0);
}

TEST_F(Streaming, AnExecWithATerminal) {
  StartIdle(RunPod("terminal"));
  const auto session =
      Crisp({"exec", "-it", "terminal", "sh", "-c",
             "echo $TERM; read x; until stty size | grep '40 100'; do sleep 0.05; done; "
             "read x; stty size; exit 7"},
            Input::kTerminal);
  session->ReadUntil("xterm\r\n");
  EXPECT_FALSE(session->terminal_restored());
  session->Say("a\n");
  EXPECT_THAT(session->ReadUntil("100\r\n"), EndsWith("40 100\r\n"));
  session->Resize({132, 43});
  // The new size travels beside the input, so it may come a little later than the line.
  EXPECT_TRUE(WaitUntil([&] {
    return absl::StrContains(
        Must(cri().ExecSync(Must(cri().ListContainers())[0].id(),
                            Shell("for p in /proc/[0-9]*; do stty size <$p/fd/0; done 2>/dev/null; "
                                  "true")))
            .stdout(),
        "43 132");
  }));
  session->Say("b\n");
  EXPECT_THAT(session->ReadUntil("132\r\n"), EndsWith("43 132\r\n"));
  EXPECT_EQ(session->Wait(), 7);
  EXPECT_TRUE(session->terminal_restored());
}

TEST_F(Streaming, ATerminalIsRestoredAfterASignal) {
  StartIdle(RunPod("signal"));
  const auto session =
      Crisp({"exec", "-it", "signal", "sh", "-c", "echo ready; sleep 1000"}, Input::kTerminal);
  session->ReadUntil("ready\r\n");
  EXPECT_FALSE(session->terminal_restored());
  session->Signal(SIGTERM);
  EXPECT_EQ(session->Wait(), 128 + SIGTERM);
  EXPECT_TRUE(session->terminal_restored());
}

TEST_F(Streaming, ExecErrorsAreTold) {
  StartIdle(RunPod("errors"));
  const auto missing = Crisp({"exec", "-i", "errors", "/no/such/program"});
  EXPECT_NE(missing->Wait(), 0);
  EXPECT_THAT(missing->ReadErrors(), HasSubstr("/no/such/program"));
  const auto nobody = Crisp({"exec", "-i", "nobody", "ls"});
  EXPECT_NE(nobody->Wait(), 0);
  EXPECT_THAT(nobody->ReadErrors(), HasSubstr("nobody"));
}

TEST_F(Streaming, SeveralClientsAttachToOneContainer) {
  const Pod pod = RunPod("shared");
  const std::string id =
      StartReader(pod, "main", "trap 'exit 0' TERM; while read x; do echo \"<$x>\"; done; exit 4");
  const auto first = Crisp({"attach", "-i", "shared"}), second = Crisp({"attach", "-i", "shared"}),
             third = Crisp({"attach", "shared"});
  // There is no history: it is asked until all three have heard of it.
  std::atomic<bool> all_there = false;
  std::thread asking([&] {
    while (!all_there) {
      first->Say("there?\n");
      absl::SleepFor(absl::Milliseconds(20));
    }
  });
  for (CrispSession* session : {first.get(), second.get(), third.get()}) {
    session->ReadUntil("<there?>\n");
  }
  all_there = true;
  asking.join();
  second->Say("from the second\n");
  for (CrispSession* session : {first.get(), second.get(), third.get()}) {
    EXPECT_THAT(session->ReadUntil("second>\n"), EndsWith("<from the second>\n"));
  }
  first->EndInput();
  first->Signal(SIGTERM);
  EXPECT_EQ(first->Wait(), 128 + SIGTERM);
  second->Say("still\n");
  EXPECT_THAT(third->ReadUntil("still>\n"), EndsWith("<still>\n"));
  EXPECT_THAT(LogText(LogPath(pod, "main")), HasSubstr("<still>\n"));
  // The sessions end with the container, and tell its exit code.
  EXPECT_THAT(cri().StopContainer(id, 0), IsOk());
  EXPECT_EQ(second->Wait(), 137);
  EXPECT_EQ(third->Wait(), 137);
}

TEST_F(Streaming, StdinOnceEndsTheContainer) {
  const Pod pod = RunPod("once");
  const std::string id = StartReader(pod, "main", "cat; exit 9", /*once=*/true);
  const auto session = Crisp({"attach", "-i", "once"});
  session->Say("to be counted\n");
  session->EndInput();
  EXPECT_EQ(session->ReadAll(), "to be counted\n");
  EXPECT_EQ(session->Wait(), 9);
  EXPECT_EQ(WaitExited(id).exit_code(), 9);
}

TEST_F(Streaming, AttachToATerminal) {
  const Pod pod = RunPod("screen");
  StartReader(pod, "main", "while read x; do stty size; echo \"got $x\"; done", false, true);
  const auto session = Crisp({"attach", "-it", "screen"}, Input::kTerminal);
  EXPECT_TRUE(WaitUntil([&] { return !session->terminal_restored(); }));
  EXPECT_TRUE(WaitUntil([&] {
    return absl::StrContains(
        Must(cri().ExecSync(Must(cri().ListContainers())[0].id(), Shell("stty size </proc/1/fd/0")))
            .stdout(),
        "40 100");
  }));
  session->Say("it\r");
  EXPECT_THAT(session->ReadUntil("got it\r\n"), HasSubstr("40 100\r\n"));
  session->Say("\x04");  // the end of input, as a terminal has it
  EXPECT_EQ(session->Wait(), 0);
  EXPECT_TRUE(session->terminal_restored());
}

TEST_F(Streaming, AnAttachmentEndsWithTheDaemonAndTheContainerDoesNot) {
  const Pod pod = RunPod("restart");
  const std::string id = StartReader(pod, "main", "echo up; while read x; do echo \"<$x>\"; done");
  const auto session = Crisp({"attach", "-i", "restart"});
  EXPECT_TRUE(WaitUntil([&] {
    session->Say("x\n");
    return absl::StrContains(LogText(LogPath(pod, "main")), "<x>");
  }));
  daemon().Kill();
  EXPECT_NE(session->Wait(), 0);
  ASSERT_THAT(daemon().Start(), IsOk());
  EXPECT_EQ(Must(cri().ContainerStatus(id)).state(), v1::CONTAINER_RUNNING);
  const auto again = Crisp({"attach", "-i", "restart"});
  again->Say("after\n");
  EXPECT_THAT(again->ReadUntil("<after>\n"), EndsWith("<after>\n"));
}

TEST_F(Streaming, PortsOfAPodAreForwarded) {
  const Pod pod = RunPod("ports");
  const std::string id = Start(
      pod, "server", Shell("trap 'exit 0' TERM; while :; do echo \"hello\" | nc -l -p 8080; done"));
  const auto session = Crisp({"port-forward", "ports", ":8080"});
  const int port = LocalPort(*session);
  for (int i = 0; i < 3; ++i) {
    std::string text;
    EXPECT_TRUE(WaitUntil([&] { return (text = ReadToEnd(Dial(port))) == "hello\n"; })) << text;
  }
  const auto closed = Crisp({"port-forward", "ports", ":9"});
  EXPECT_EQ(ReadToEnd(Dial(LocalPort(*closed))), "");
  EXPECT_THAT(closed->ReadErrors("port 9"), HasSubstr("port 9"));
  const auto nobody = Crisp({"port-forward", "nobody", "80"});
  EXPECT_NE(nobody->Wait(), 0);
}

TEST_F(Streaming, APodInTheHostsNetworkForwardsTheHostsPorts) {
  v1::PodSandboxConfig config = PodConfig("host");
  config.clear_hostname();
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(
      v1::NODE);
  const Pod pod = RunPod(config);
  const std::string id = Start(
      pod, "server", Shell("trap 'exit 0' TERM; while :; do echo here | nc -l -p 28123; done"));
  const auto session = Crisp({"port-forward", "host", ":28123"});
  const int port = LocalPort(*session);
  std::string text;
  EXPECT_TRUE(WaitUntil([&] { return (text = ReadToEnd(Dial(port))) == "here\n"; })) << text;
}

TEST_F(Streaming, VerbsCheckTheirArguments) {
  const Pod pod = RunPod("verbs");
  const std::string id = StartIdle(pod);
  const auto exec = [&](const std::string& container) {
    return Crisp({"exec", "-i", container, "true"})->Wait();
  };
  EXPECT_EQ(exec("verbs"), 0);
  EXPECT_THAT(cri().StopContainer(id, 0), IsOk());
  EXPECT_NE(exec("verbs"), 0);
}

TEST_F(Streaming, ARunWithATerminalIsOneSession) {
  const auto session =
      Crisp({"run", "-it", "--rm", "--name", "shell", kBusybox, "sh"}, Input::kTerminal);
  session->ReadUntil("# ");  // the prompt, which comes before crisp does
  EXPECT_FALSE(session->terminal_restored());
  session->Say("echo $((6 * 7))\n");
  session->ReadUntil("42\r\n");
  session->Say("exit 6\n");
  EXPECT_EQ(session->Wait(), 6);
  EXPECT_TRUE(session->terminal_restored());
  EXPECT_THAT(Must(cri().ListPods()), testing::IsEmpty());
}

TEST_F(Streaming, ARunPassesItsInputOn) {
  const auto session = Crisp({"run", "-i", "--rm", "--name", "filter", kBusybox, "sh", "-c",
                              "echo first; echo oops >&2; cat; exit 8"});
  session->ReadUntil("first\n");
  session->Say("second\n");
  session->EndInput();
  EXPECT_EQ(session->ReadAll(), "second\n");
  EXPECT_EQ(session->ReadErrors(), "oops\n");
  EXPECT_EQ(session->Wait(), 8);
  EXPECT_THAT(Must(cri().ListPods()), testing::IsEmpty());
}

TEST_F(Streaming, ARunThatEndsBeforeItIsAttachedToIsShownWhole) {
  for (int i = 0; i < 5; ++i) {
    const auto session =
        Crisp({"run", "-i", "--rm", kBusybox, "sh", "-c", "echo out; echo err >&2; exit 3"});
    EXPECT_EQ(session->ReadAll(), "out\n");
    EXPECT_EQ(session->ReadErrors(), "err\n");
    EXPECT_EQ(session->Wait(), 3);
  }
  EXPECT_EQ(Crisp({"run", "-t", "--name", "stays", kBusybox, "false"})->Wait(), 1);
  EXPECT_THAT(Must(cri().ListPods()), testing::SizeIs(1));
  // In the background, to be attached to later.
  const auto detached = Crisp({"run", "-d", "-i", "--name", "later", kBusybox, "cat"});
  EXPECT_EQ(detached->Wait(), 0);
  const auto session = Crisp({"attach", "-i", "later"});
  session->Say("hello\n");
  EXPECT_EQ(session->ReadUntil("\n"), "hello\n");
  EXPECT_EQ(Crisp({"rm", "--force", "stays", "later"})->Wait(), 0);
}

class StreamingTls : public Streaming {
 protected:
  std::string ExtraConfig() override {
    const std::string certs = folder() / "certs";
    EXPECT_TRUE(MakeFolders(certs).ok());
    const TestCertificate server =
        TestAuthority(certs, "authority").SignServer("server", "127.0.0.1");
    return Cat("[streaming]\ntls_cert = \"", server.cert_file, "\"\ntls_key = \"", server.key_file,
               "\"\n");
  }
};

TEST_F(StreamingTls, TheToolSpeaksItToo) {
  const Pod pod = RunPod("secret");
  const std::string id = StartReader(pod, "main", "while read x; do echo \"<$x>\"; done");
  v1::ExecRequest request;
  request.set_container_id(id);
  request.add_cmd("true");
  request.set_stdout(true);
  EXPECT_THAT(Must(cri().Call(&CriClient::RuntimeStub::Exec, request)).url(),
              testing::StartsWith("https://"));
  const auto exec = Crisp({"exec", "-i", "secret", "sh", "-c", "cat; exit 5"});
  exec->Say("one\n");
  exec->EndInput();
  EXPECT_EQ(exec->ReadAll(), "one\n");
  EXPECT_EQ(exec->Wait(), 5);
  const auto attach = Crisp({"attach", "-i", "secret"});
  attach->Say("two\n");
  EXPECT_THAT(attach->ReadUntil("two>\n"), EndsWith("<two>\n"));
  Start(pod, "server", Shell("trap 'exit 0' TERM; while :; do echo hello | nc -l -p 8080; done"));
  const auto forward = Crisp({"port-forward", "secret", ":8080"});
  const int port = LocalPort(*forward);
  std::string text;
  EXPECT_TRUE(WaitUntil([&] { return (text = ReadToEnd(Dial(port))) == "hello\n"; })) << text;
}

}  // namespace
}  // namespace crisp
