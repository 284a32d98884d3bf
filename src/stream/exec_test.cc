// Exec and attach through the whole server: real sockets, real processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "stream/server.h"
#include "stream/stream_fixture.h"

namespace crisp::stream {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const std::vector<std::string> kV4 = {"v5.channel.k8s.io", "v4.channel.k8s.io",
                                      "v3.channel.k8s.io"};

class ExecTest : public testing::Test {
 protected:
  void SetUp() override { Start({}); }
  void Start(const StreamServerOptions& options) {
    server_ = nullptr;
    auto server = StreamServer::Start(options, backend_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void TearDown() override {
    server_ = nullptr;
    EXPECT_TRUE(backend_.WaitForAlive(0));
  }
  std::string Exec(const std::string& script, bool in = false, bool tty = false) {
    return *server_->ForExec({.container_id = "container",
                              .cmd = {"sh", "-c", script},
                              .tty = tty,
                              .in = in,
                              .out = true,
                              .err = !tty});
  }
  std::string Attach(bool in, bool tty = false) {
    return *server_->ForAttach(
        {.container_id = "container", .tty = tty, .in = in, .out = true, .err = !tty});
  }

  TestBackend backend_;
  std::unique_ptr<StreamServer> server_;
};

TEST_F(ExecTest, SpdyV4BringsOutputAndExitCode) {
  SpdyClient client(Exec("echo out; echo err >&2; exit 7"), kV4);
  ASSERT_TRUE(client.upgraded()) << client.head();
  EXPECT_THAT(client.head(), HasSubstr("X-Stream-Protocol-Version: v4.channel.k8s.io\r\n"));
  EXPECT_THAT(client.head(), HasSubstr("Upgrade: SPDY/3.1\r\n"));
  const uint32_t error = client.OpenType("error");
  client.Write(error, "", true);
  const uint32_t out = client.OpenType("stdout"), err = client.OpenType("stderr");
  EXPECT_EQ(client.ReadAll(out), "out\n");
  EXPECT_EQ(client.ReadAll(err), "err\n");
  const Json status = Json::parse(client.ReadAll(error));
  EXPECT_EQ(status["details"]["causes"][0]["message"], "7");
  for (uint32_t stream : {error, out, err}) EXPECT_FALSE(client.stream(stream).data_before_reply);
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_EQ(client.go_away_status, 0u);
}

TEST_F(ExecTest, SpdyV1SaysNothingOfASuccess) {
  SpdyClient client(Exec("echo out"), {"channel.k8s.io"}, "GET");
  ASSERT_TRUE(client.upgraded()) << client.head();
  const uint32_t error = client.OpenType("error"), out = client.OpenType("stdout");
  client.OpenType("stderr");
  EXPECT_EQ(client.ReadAll(out), "out\n");
  EXPECT_EQ(client.ReadAll(error), "");
  EXPECT_TRUE(client.stream(error).finished);
}

TEST_F(ExecTest, StandardInputEndsWithItsStream) {
  SpdyClient client(Exec("cat; echo done", true), kV4);
  const uint32_t error = client.OpenType("error"), in = client.OpenType("stdin"),
                 out = client.OpenType("stdout");
  client.OpenType("stderr");
  client.Write(in, "hello ");
  EXPECT_EQ(client.ReadAtLeast(out, 6), "hello ");
  client.Write(in, "world\n", true);
  EXPECT_EQ(client.ReadAll(out), "hello world\ndone\n");
  EXPECT_EQ(Json::parse(client.ReadAll(error))["status"], "Success");
}

TEST_F(ExecTest, WhatComesBeforeTheLastStreamIsKept) {
  SpdyClient client(Exec("cat", true), kV4);
  const uint32_t in = client.OpenType("stdin");
  client.Write(in, "early\n", true);
  const uint32_t out = client.OpenType("stdout");
  client.OpenType("stderr");
  client.OpenType("error");
  EXPECT_EQ(client.ReadAll(out), "early\n");
}

TEST_F(ExecTest, ATerminalIsResizedAndTakesInput) {
  SpdyClient client(Exec("read line; echo \"got $line\"; exit 3", true, true), kV4);
  const uint32_t error = client.OpenType("error"), in = client.OpenType("stdin"),
                 out = client.OpenType("stdout"), resize = client.OpenType("resize");
  client.Write(resize, R"({"Width":80,"Height":24})");
  client.Write(resize, "{\"Width\":100,\"Height\":30}\n");
  EXPECT_TRUE(backend_.WaitForSize(100, 30));
  client.Write(in, "abc\n");
  EXPECT_THAT(client.ReadAll(out), HasSubstr("got abc\r\n"));
  EXPECT_EQ(Json::parse(client.ReadAll(error))["details"]["causes"][0]["message"], "3");
}

TEST_F(ExecTest, NonsenseForASizeEndsTheSession) {
  SpdyClient client(Exec("cat", true, true), kV4);
  for (const char* type : {"error", "stdin", "stdout"}) client.OpenType(type);
  client.Write(client.OpenType("resize"), R"({"Width":"wide"})");
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_EQ(client.go_away_status, 1u);
}

TEST_F(ExecTest, AFailedStartIsToldOnTheErrorStream) {
  SpdyClient client(*server_->ForExec({.container_id = "other", .cmd = {"x"}, .out = true}), kV4);
  const uint32_t error = client.OpenType("error"), out = client.OpenType("stdout");
  const Json status = Json::parse(client.ReadAll(error));
  EXPECT_EQ(status["reason"], "InternalError");
  EXPECT_THAT(status["message"].get<std::string>(), HasSubstr("container other does not exist"));
  EXPECT_EQ(client.ReadAll(out), "");
}

TEST_F(ExecTest, ABackgroundChildThatHoldsThePipeIsNotWaitedFor) {
  SpdyClient client(Exec("echo before; sleep 1000 & echo $!"), kV4);
  const uint32_t error = client.OpenType("error"), out = client.OpenType("stdout");
  client.OpenType("stderr");
  const std::string text = client.ReadAll(out);
  EXPECT_THAT(text, StartsWith("before\n"));
  EXPECT_EQ(Json::parse(client.ReadAll(error))["status"], "Success");
  ::kill(std::stoi(text.substr(7)), SIGKILL);
}

TEST_F(ExecTest, ABackgroundChildThatWritesOnDoesNotProlongTheSession) {
  SpdyClient client(Exec("yes & echo $! >&2; sleep 0.2"), kV4);
  const uint32_t error = client.OpenType("error");
  client.OpenType("stdout");
  const uint32_t err = client.OpenType("stderr");
  EXPECT_EQ(Json::parse(client.ReadAll(error))["status"], "Success");
  (void)client.ReadAll(err);
}

TEST_F(ExecTest, MuchOutputArrivesWholeBeforeTheExitCode) {
  constexpr size_t kBytes = 100 << 20;
  for (const bool web : {false, true}) {
    const std::string url = Exec(Cat("head -c ", kBytes, " /dev/zero; exit 5"));
    if (web) {
      WebSocketClient client(url, "v4.channel.k8s.io");
      size_t bytes = 0;
      std::string status;
      for (;;) {
        const auto message = client.Receive();
        if (message.opcode == 0 || message.opcode == WebSocketClient::kClose) break;
        if (message.data[0] == 1) bytes += message.data.size() - 1;
        if (message.data[0] == 3) status = message.data.substr(1);
      }
      EXPECT_EQ(bytes, kBytes);
      EXPECT_THAT(status, HasSubstr("\"5\""));
      continue;
    }
    SpdyClient client(url, kV4);
    client.keep_bytes = 4096;
    const uint32_t error = client.OpenType("error"), out = client.OpenType("stdout");
    client.OpenType("stderr");
    client.ReadAll(out);
    EXPECT_EQ(client.stream(out).bytes, kBytes);
    EXPECT_THAT(client.ReadAll(error), HasSubstr("\"5\""));
  }
}

TEST_F(ExecTest, MuchInputGoesThroughASlowCommand) {
  constexpr size_t kBytes = 8 << 20;
  SpdyClient client(Exec("sleep 0.3; wc -c", true), kV4);
  client.OpenType("error");
  const uint32_t in = client.OpenType("stdin"), out = client.OpenType("stdout");
  client.OpenType("stderr");
  const std::string piece(1 << 20, 'x');
  for (size_t sent = 0; sent < kBytes; sent += piece.size()) ASSERT_TRUE(client.Write(in, piece));
  client.Write(in, "", true);
  EXPECT_EQ(client.ReadAll(out), Cat(kBytes, "\n"));
}

TEST_F(ExecTest, ACommandThatClosesItsInputDoesNotStopTheRest) {
  SpdyClient client(Exec("exec <&-; sleep 0.2; echo done", true), kV4);
  client.OpenType("error");
  const uint32_t in = client.OpenType("stdin"), out = client.OpenType("stdout");
  client.OpenType("stderr");
  const std::string piece(1 << 20, 'x');
  for (int i = 0; i < 4; ++i) client.Write(in, piece);
  EXPECT_EQ(client.ReadAll(out), "done\n");
}

TEST_F(ExecTest, AClientThatGoesEndsTheSessionAndClosesTheInput) {
  {
    SpdyClient client(Exec("cat", true), kV4);
    for (const char* type : {"error", "stdin", "stdout", "stderr"}) client.OpenType(type);
    EXPECT_TRUE(backend_.WaitForAlive(1));
  }
  EXPECT_TRUE(backend_.WaitForAlive(0));
}

TEST_F(ExecTest, AClientThatGoesWhileTheCommandStartsCancelsIt) {
  {
    SpdyClient client(
        *server_->ForExec({.container_id = "container", .cmd = {"wait-for-cancel"}, .out = true}),
        kV4);
    client.OpenType("error");
    client.OpenType("stdout");
  }
  // Stop() would wait for it, too; that it may be called at once is part of the test.
  server_->Stop();
}

TEST_F(ExecTest, AResetStreamIsDiscardedAndTheCommandGoesOn) {
  SpdyClient client(Exec("head -c 1000000 /dev/zero; echo done >&2"), kV4);
  client.OpenType("error");
  const uint32_t out = client.OpenType("stdout");
  client.Reset(out);
  EXPECT_EQ(client.ReadAll(client.OpenType("stderr")), "done\n");
}

TEST_F(ExecTest, StreamsThatNobodyAskedForAreRefused) {
  SpdyClient client(Exec("echo out"), kV4);
  const uint32_t in = client.OpenType("stdin"), odd = client.OpenType("odd");
  client.OpenType("error");
  const uint32_t again = client.OpenType("error");
  const uint32_t out = client.OpenType("stdout");
  client.OpenType("stderr");
  EXPECT_EQ(client.ReadAll(out), "out\n");
  for (uint32_t stream : {in, odd, again}) {
    EXPECT_TRUE(client.stream(stream).reset);
    EXPECT_EQ(client.stream(stream).reset_status, 3u);
  }
}

TEST_F(ExecTest, StreamsThatDoNotComeInTimeEndTheSession) {
  Start({.creation_timeout = absl::Milliseconds(200)});
  SpdyClient client(Exec("echo out"), kV4);
  client.OpenType("error");
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_EQ(client.go_away_status, 1u);
}

TEST_F(ExecTest, AnIdleSessionIsCutAndABusyOneIsNot) {
  constexpr absl::Duration kIdle = absl::Milliseconds(1500);
  Start({.idle_timeout = kIdle});
  SpdyClient idle(Exec("cat", true), kV4), busy(Exec("cat", true), kV4);
  for (SpdyClient* client : {&idle, &busy}) {
    for (const char* type : {"error", "stdin", "stdout", "stderr"}) client->OpenType(type);
  }
  const absl::Time start = absl::Now();
  size_t sent = 0;
  for (absl::Time last = start; absl::Now() < start + 1.5 * kIdle; last = absl::Now()) {
    busy.Write(3, "x");
    const std::string echo = busy.ReadAtLeast(5, ++sent);
    if (absl::Now() > last + kIdle / 2) break;  // this machine is too slow to be called busy
    EXPECT_EQ(echo.size(), sent);
    absl::SleepFor(kIdle / 20);
  }
  EXPECT_TRUE(idle.ReadToEnd());
  EXPECT_EQ(idle.go_away_status, 1u);
}

TEST_F(ExecTest, WebSocketProtocolsTellTheEndEachInItsWay) {
  for (const std::string protocol :
       {"", "channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"}) {
    WebSocketClient client(Exec("echo out; echo err >&2; exit 4"), protocol);
    ASSERT_TRUE(client.upgraded()) << client.head();
    if (!protocol.empty()) EXPECT_THAT(client.head(), HasSubstr(protocol));
    auto channels = client.ReadAll();
    EXPECT_EQ(channels[1], "out\n");
    EXPECT_EQ(channels[2], "err\n");
    if (protocol.starts_with("v")) {
      EXPECT_EQ(Json::parse(channels[3])["details"]["causes"][0]["message"], "4");
    } else {
      EXPECT_EQ(channels[3], "command terminated with exit code 4");
    }
    EXPECT_EQ(client.close_code, 1000);
  }
}

TEST_F(ExecTest, WebSocketBase64IsText) {
  for (const char* protocol : {"base64.channel.k8s.io", "v4.base64.channel.k8s.io"}) {
    WebSocketClient client(Exec("head -n 1", true), protocol);
    ASSERT_TRUE(client.upgraded()) << client.head();
    client.Send("0aGVsbG8K", WebSocketClient::kText);  // "hello\n"
    std::string out;
    for (;;) {
      const auto message = client.Receive();
      if (message.opcode != WebSocketClient::kText) break;
      if (message.data[0] == '1') out += message.data.substr(1);
    }
    EXPECT_EQ(out, "aGVsbG8K");
  }
}

TEST_F(ExecTest, WebSocketV5FinishesStandardInput) {
  WebSocketClient client(Exec("cat; echo done", true), "v5.channel.k8s.io");
  client.SendChannel(0, "hello\n");
  client.Send(std::string("\xff\0", 2));
  auto channels = client.ReadAll();
  EXPECT_EQ(channels[1], "hello\ndone\n");
  EXPECT_EQ(Json::parse(channels[3])["status"], "Success");
}

TEST_F(ExecTest, WebSocketResizesAndAnswersPings) {
  WebSocketClient client(Exec("read line", true, true), "v5.channel.k8s.io");
  client.SendChannel(4, R"({"Width":90,"Height":20})");
  EXPECT_TRUE(backend_.WaitForSize(90, 20));
  client.Send("are you there", WebSocketClient::kPing);
  for (;;) {
    const auto message = client.Receive();
    ASSERT_NE(message.opcode, 0);
    if (message.opcode != WebSocketClient::kPong) continue;
    EXPECT_EQ(message.data, "are you there");
    break;
  }
  client.SendChannel(0, "\n");
  EXPECT_EQ(Json::parse(client.ReadAll()[3])["status"], "Success");
}

TEST_F(ExecTest, WebSocketRubbishIsCutWithACloseCode) {
  {
    WebSocketClient client(Exec("cat", true), "v4.channel.k8s.io");
    client.SendChannel(9, "x");
    client.ReadAll();
    EXPECT_EQ(client.close_code, 1002);
    EXPECT_THAT(client.close_reason, HasSubstr("channel 9"));
  }
  {
    WebSocketClient client(Exec("cat", true), "v4.channel.k8s.io");
    client.WriteRaw("this is no frame, and not masked either");
    client.ReadAll();
    EXPECT_EQ(client.close_code, 1002);
  }
}

TEST_F(ExecTest, SpdyRubbishIsCutWithGoAway) {
  SpdyClient client(Exec("cat", true), kV4);
  client.WriteRaw("\xff\xfe this is no frame of any version of SPDY");
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_EQ(client.go_away_status, 1u);
}

TEST_F(ExecTest, SpdyPingsAreEchoedAndOtherFramesAreSuffered) {
  SpdyClient client(Exec("cat", true), kV4);
  for (const char* type : {"error", "stdin", "stdout", "stderr"}) client.OpenType(type);
  client.WriteRaw(Cat(SpdyControl(SpdyType::kSettings, 0, std::string(4, '\0')),
                      SpdyControl(SpdyType::kWindowUpdate, 0, std::string(8, '\0')), SpdyPing(2),
                      SpdyPing(5), SpdyDataHead(99, 1, false), "x", SpdyPing(7)));
  while (client.pings.size() < 2) ASSERT_TRUE(client.ReadOnce());
  EXPECT_THAT(client.pings, testing::ElementsAre(5, 7));
  EXPECT_EQ(client.stream(99).reset_status, 2u);
  client.Write(3, "still here\n");
  EXPECT_EQ(client.ReadAtLeast(5, 11), "still here\n");
}

TEST_F(ExecTest, AttachCopiesUntilTheContainerEnds) {
  SpdyClient client(Attach(true), kV4);
  const uint32_t error = client.OpenType("error"), in = client.OpenType("stdin"),
                 out = client.OpenType("stdout"), err = client.OpenType("stderr");
  auto ends = backend_.TakeAttachment();
  client.Write(in, "question", true);
  char buffer[64];
  EXPECT_EQ(::read(ends.in.get(), buffer, sizeof buffer), 8);
  EXPECT_EQ(::read(ends.in.get(), buffer, sizeof buffer), 0);
  ASSERT_EQ(::write(ends.out.get(), "hello", 5), 5);
  ASSERT_EQ(::write(ends.err.get(), "oops", 4), 4);
  EXPECT_EQ(client.ReadAtLeast(out, 5), "hello");
  const uint64_t one = 1;
  ASSERT_EQ(::write(ends.ended.get(), &one, sizeof one), 8);
  EXPECT_EQ(client.ReadAll(err), "oops");
  EXPECT_EQ(Json::parse(client.ReadAll(error))["status"], "Success");
}

TEST_F(ExecTest, AClientThatDoesNotReadHoldsBackOnlyItself) {
  SpdyClient stuck(Exec("yes"), kV4);
  for (const char* type : {"error", "stdout", "stderr"}) stuck.OpenType(type);
  EXPECT_TRUE(backend_.WaitForAlive(1));
  for (int i = 0; i < 20; ++i) {
    WebSocketClient client(Exec("echo fine"), "v4.channel.k8s.io");
    EXPECT_EQ(client.ReadAll()[1], "fine\n");
  }
}

TEST_F(ExecTest, ManySessionsAtOnce) {
  std::vector<std::unique_ptr<SpdyClient>> clients;
  for (int i = 0; i < 60; ++i) {
    clients.push_back(std::make_unique<SpdyClient>(Exec(Cat("cat; echo ", i), true), kV4));
    for (const char* type : {"error", "stdin", "stdout", "stderr"}) clients[i]->OpenType(type);
  }
  for (const auto& client : clients) client->Write(3, "x ", true);
  for (int i = 0; i < 60; ++i) EXPECT_EQ(clients[i]->ReadAll(5), Cat("x ", i, "\n"));
}

TEST_F(ExecTest, StopCutsWhatRuns) {
  SpdyClient client(Exec("cat", true), kV4);
  for (const char* type : {"error", "stdin", "stdout", "stderr"}) client.OpenType(type);
  client.Write(3, "x");
  EXPECT_EQ(client.ReadAtLeast(5, 1), "x");
  server_->Stop();
  client.ReadToEnd();
  EXPECT_TRUE(backend_.WaitForAlive(0));
}

}  // namespace
}  // namespace crisp::stream
