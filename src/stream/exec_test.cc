// Exec and attach through the whole server: real sockets, real processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "stream/server_fixture.h"

namespace crisp::stream {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const std::vector<std::string> kCommandProtocols = {"v5.channel.k8s.io", "v4.channel.k8s.io",
                                                    "v3.channel.k8s.io"};

using ExecTest = StreamServerTest;

TEST_F(ExecTest, SpdyV4BringsOutputAndExitCode) {
  SpdyClient client(Exec("echo out; echo err >&2; exit 7"), kCommandProtocols);
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
  SpdyClient client(Exec("cat; echo done", true), kCommandProtocols);
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
  SpdyClient client(Exec("cat", true), kCommandProtocols);
  const uint32_t in = client.OpenType("stdin");
  client.Write(in, "early\n", true);
  const uint32_t out = client.OpenType("stdout");
  client.OpenType("stderr");
  client.OpenType("error");
  EXPECT_EQ(client.ReadAll(out), "early\n");
}

TEST_F(ExecTest, ATerminalIsResizedAndTakesInput) {
  SpdyClient client(Exec("read line; echo \"got $line\"; exit 3", true, true), kCommandProtocols);
  const uint32_t error = client.OpenType("error"), in = client.OpenType("stdin"),
                 out = client.OpenType("stdout"), resize = client.OpenType("resize");
  client.Write(resize, R"({"Width":80,"Height":24})");
  client.Write(resize, "{\"Width\":100,\"Height\":30}\n");
  EXPECT_TRUE(backend_.WaitForSize(100, 30));
  client.Write(in, "abc\n");
  EXPECT_THAT(client.ReadAll(out), HasSubstr("got abc\r\n"));
  EXPECT_EQ(Json::parse(client.ReadAll(error))["details"]["causes"][0]["message"], "3");
}

// A client sends it when it knows that the streams are there, but a program may ask at once.
TEST_F(ExecTest, ATerminalHasItsSizeFromTheStart) {
  SpdyClient client(Exec("stty size", true, true), kCommandProtocols);
  for (const char* type : {"error", "stdin"}) client.OpenType(type);
  const uint32_t out = client.OpenType("stdout"), resize = client.OpenType("resize");
  ASSERT_TRUE(client.ReadOnce());
  client.Write(resize, R"({"Width":80,"Height":24})");
  EXPECT_EQ(client.ReadAll(out), "24 80\r\n");
}

TEST_F(ExecTest, ATerminalWhoseSizeNeverComesHasNone) {
  SpdyClient client(Exec("stty size", true, true), kCommandProtocols);
  for (const char* type : {"error", "stdin", "resize"}) client.OpenType(type);
  EXPECT_EQ(client.ReadAll(client.OpenType("stdout")), "0 0\r\n");
}

TEST_F(ExecTest, NonsenseForASizeEndsTheSession) {
  SpdyClient client(Exec("cat", true, true), kCommandProtocols);
  for (const char* type : {"error", "stdin", "stdout"}) client.OpenType(type);
  client.Write(client.OpenType("resize"), R"({"Width":"wide"})");
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_EQ(client.go_away_status, 1u);
}

TEST_F(ExecTest, AFailedStartIsToldOnTheErrorStream) {
  SpdyClient client(*server_->ForExec({.container_id = "other", .cmd = {"x"}, .out = true}),
                    kCommandProtocols);
  const uint32_t error = client.OpenType("error"), out = client.OpenType("stdout");
  const Json status = Json::parse(client.ReadAll(error));
  EXPECT_EQ(status["reason"], "InternalError");
  EXPECT_THAT(status["message"].get<std::string>(), HasSubstr("container other does not exist"));
  EXPECT_EQ(client.ReadAll(out), "");
}

TEST_F(ExecTest, ABackgroundChildThatHoldsThePipeIsNotWaitedFor) {
  SpdyClient client(Exec("echo before; sleep 1000 & echo $!"), kCommandProtocols);
  const uint32_t error = client.OpenType("error"), out = client.OpenType("stdout");
  client.OpenType("stderr");
  const std::string text = client.ReadAll(out);
  EXPECT_THAT(text, StartsWith("before\n"));
  EXPECT_EQ(Json::parse(client.ReadAll(error))["status"], "Success");
  ::kill(std::stoi(text.substr(7)), SIGKILL);
}

TEST_F(ExecTest, ABackgroundChildThatWritesOnDoesNotProlongTheSession) {
  SpdyClient client(Exec("yes & echo $! >&2; sleep 0.2"), kCommandProtocols);
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
    SpdyClient client(url, kCommandProtocols);
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
  SpdyClient client(Exec("sleep 0.3; wc -c", true), kCommandProtocols);
  client.OpenType("error");
  const uint32_t in = client.OpenType("stdin"), out = client.OpenType("stdout");
  client.OpenType("stderr");
  const std::string piece(1 << 20, 'x');
  for (size_t sent = 0; sent < kBytes; sent += piece.size()) ASSERT_TRUE(client.Write(in, piece));
  client.Write(in, "", true);
  EXPECT_EQ(client.ReadAll(out), Cat(kBytes, "\n"));
}

TEST_F(ExecTest, ACommandThatClosesItsInputDoesNotStopTheRest) {
  SpdyClient client(Exec("exec <&-; sleep 0.2; echo done", true), kCommandProtocols);
  client.OpenType("error");
  const uint32_t in = client.OpenType("stdin"), out = client.OpenType("stdout");
  client.OpenType("stderr");
  const std::string piece(1 << 20, 'x');
  for (int i = 0; i < 4; ++i) client.Write(in, piece);
  EXPECT_EQ(client.ReadAll(out), "done\n");
}

TEST_F(ExecTest, AttachCopiesUntilTheContainerEnds) {
  SpdyClient client(Attach(true), kCommandProtocols);
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

}  // namespace
}  // namespace crisp::stream
