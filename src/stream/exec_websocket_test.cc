// Exec over the WebSocket protocols, through the whole server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "stream/server_fixture.h"

namespace crisp::stream {
namespace {

using testing::HasSubstr;

using ExecWebSocketTest = StreamServerTest;

TEST_F(ExecWebSocketTest, WebSocketProtocolsTellTheEndEachInItsWay) {
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

TEST_F(ExecWebSocketTest, WebSocketBase64IsText) {
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

TEST_F(ExecWebSocketTest, WebSocketV5FinishesStandardInput) {
  WebSocketClient client(Exec("cat; echo done", true), "v5.channel.k8s.io");
  client.SendChannel(0, "hello\n");
  client.Send(std::string("\xff\0", 2));
  auto channels = client.ReadAll();
  EXPECT_EQ(channels[1], "hello\ndone\n");
  EXPECT_EQ(Json::parse(channels[3])["status"], "Success");
}

TEST_F(ExecWebSocketTest, WebSocketResizesAndAnswersPings) {
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

TEST_F(ExecWebSocketTest, WebSocketRubbishIsCutWithACloseCode) {
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

}  // namespace
}  // namespace crisp::stream
