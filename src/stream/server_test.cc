// The server itself: what it answers before any protocol, limits, TLS, start and stop.
#include "stream/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"
#include "stream/server_fixture.h"
#include "stream/workers.h"

namespace crisp::stream {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::vector<std::string> kProtocols = {"v4.channel.k8s.io"};
const CommandRequest kEcho = {.container_id = "container", .cmd = {"echo", "hello"}, .out = true};

class ServerTest : public StreamServerTest {
 protected:
  std::string Answer(const std::string& request) {
    TestConnection connection(server_->base_url() + "/");
    connection.Send(request);
    std::string all;
    for (std::string more; !(more = connection.Receive()).empty();) all += more;
    return all;
  }
  static std::string Hello(const std::string& url) {
    SpdyClient client(url, kProtocols);
    client.OpenType("error");
    return client.ReadAll(client.OpenType("stdout"));
  }
};

TEST_F(ServerTest, UrlsAreAbsoluteAndTheirTokensServeOnce) {
  const std::string url = *server_->ForExec(kEcho);
  EXPECT_THAT(url, StartsWith("http://127.0.0.1:"));
  EXPECT_THAT(url, HasSubstr("/exec/"));
  EXPECT_EQ(Hello(url), "hello\n");
  EXPECT_THAT(SpdyClient(url, kProtocols).head(), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(*server_->ForAttach(kEcho), HasSubstr("/attach/"));
  EXPECT_THAT(PortForward(), HasSubstr("/portforward/"));
}

TEST_F(ServerTest, ATokenIsGoodForItsOwnPathAlone) {
  std::string url = *server_->ForExec(kEcho);
  url.replace(url.find("/exec/"), 6, "/attach/");
  EXPECT_THAT(SpdyClient(url, kProtocols).head(), StartsWith("HTTP/1.1 404 "));
}

TEST_F(ServerTest, WhatIsNoUpgradeIsAnsweredInHttp) {
  EXPECT_THAT(Answer("GET /exec/nonsense HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Answer("GET / HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Answer("PUT /exec/x HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(Answer("hello\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Answer("\x16\x03\x01 this is TLS"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Answer("GET /" + std::string(70 << 10, 'x')), StartsWith("HTTP/1.1 431 "));
  const std::string path = server_->ForExec(kEcho)->substr(server_->base_url().size());
  EXPECT_THAT(Answer(Cat("GET ", path, " HTTP/1.1\r\n\r\n")), StartsWith("HTTP/1.1 400 "));
}

TEST_F(ServerTest, ProtocolsAreAgreedOnInTheClientsOrder) {
  const auto head = [&](const std::vector<std::string>& protocols) {
    return SpdyClient(*server_->ForExec(kEcho), protocols).head();
  };
  EXPECT_THAT(head({"v9.channel.k8s.io", "v2.channel.k8s.io", "v4.channel.k8s.io"}),
              HasSubstr("X-Stream-Protocol-Version: v2.channel.k8s.io\r\n"));
  EXPECT_THAT(head({"v9.channel.k8s.io, channel.k8s.io"}),
              HasSubstr("X-Stream-Protocol-Version: channel.k8s.io\r\n"));
  EXPECT_THAT(head({}), StartsWith("HTTP/1.1 400 "));
  const std::string none = head({"v9.channel.k8s.io"});
  EXPECT_THAT(none, StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(none, HasSubstr("X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io\r\n"));
  EXPECT_THAT(SpdyClient(PortForward(), kProtocols).head(),
              HasSubstr("X-Accepted-Stream-Protocol-Versions: portforward.k8s.io\r\n"));
  EXPECT_THAT(WebSocketClient(*server_->ForExec(kEcho), "v9.channel.k8s.io").head(),
              StartsWith("HTTP/1.1 400 "));
}

TEST_F(ServerTest, FramesSentAheadOfTheAnswerCount) {
  const std::string url = *server_->ForExec(kEcho);
  TestConnection connection(url);
  SpdyHeaderEncoder encoder;  // must see them in this order
  const std::string error = encoder.Encode({{"streamtype", "error"}});
  const std::string out = encoder.Encode({{"streamtype", "stdout"}});
  connection.Send(Cat("POST ", connection.path(),
                      " HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                      "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n",
                      SpdySynStream(1, error, false), SpdySynStream(3, out, false)));
  std::string all;
  for (std::string more; all.find("Success") == std::string::npos;) {
    more = connection.Receive();
    ASSERT_FALSE(more.empty()) << all;
    all += more;
  }
  EXPECT_THAT(all, HasSubstr("hello\n"));
}

TEST_F(ServerTest, AClientThatSaysNothingIsCut) {
  Start({.creation_timeout = absl::Milliseconds(200)});
  TestConnection connection(server_->base_url() + "/");
  EXPECT_EQ(connection.Receive(), "");
}

TEST_F(ServerTest, ConnectionsBeyondTheLimitAreRefusedUntilOneGoes) {
  Start({.max_connections = 2});
  auto first = std::make_unique<TestConnection>(server_->base_url() + "/");
  TestConnection second(server_->base_url() + "/");
  EXPECT_THAT(TestConnection(server_->base_url() + "/").Receive(), StartsWith("HTTP/1.1 503 "));
  first = nullptr;
  std::string answer;
  do {
    TestConnection third(server_->base_url() + "/");
    third.Send("GET / HTTP/1.1\r\n\r\n");
    answer = third.ReceiveHead();
  } while (answer.starts_with("HTTP/1.1 503 ") || answer.empty());
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 404 "));
}

TEST_F(ServerTest, ItListensWhereItIsTold) {
  Start({.address = "::1"});
  EXPECT_THAT(server_->base_url(), StartsWith("http://[::1]:"));
  EXPECT_EQ(Hello(*server_->ForExec(kEcho)), "hello\n");
  Start({.address = "0.0.0.0"});
  EXPECT_THAT(server_->base_url(), StartsWith("http://127.0.0.1:"));
  EXPECT_EQ(Hello(*server_->ForExec(kEcho)), "hello\n");
  const uint16_t port = static_cast<uint16_t>(
      std::stoi(server_->base_url().substr(server_->base_url().rfind(':') + 1)));
  const auto taken = StreamServer::Start({.address = "0.0.0.0", .port = port}, backend_);
  EXPECT_THAT(taken.status().message(), HasSubstr(Cat("port ", port)));
  EXPECT_EQ(StreamServer::Start({.address = "localhost"}, backend_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

class TlsTest : public ServerTest {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-stream-XXXXXX";
    folder_ = ::mkdtemp(name);
    cert_ = folder_ + "/cert.pem";
    key_ = folder_ + "/key.pem";
    ASSERT_EQ(::system(Cat("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
                           "-nodes -subj /CN=crisp -days 1 -keyout ",
                           key_, " -out ", cert_, " >/dev/null 2>&1")
                           .c_str()),
              0);
  }
  void TearDown() override {
    ServerTest::TearDown();
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }
  std::string folder_, cert_, key_;
};

TEST_F(TlsTest, EveryProtocolGoesThroughTls) {
  Start({.tls_cert = cert_, .tls_key = key_});
  EXPECT_THAT(server_->base_url(), StartsWith("https://127.0.0.1:"));
  EXPECT_EQ(server_->certificate_sha256().size(), 64u);
  EXPECT_EQ(Hello(*server_->ForExec(kEcho)), "hello\n");
  EXPECT_EQ(WebSocketClient(*server_->ForExec(kEcho), "v4.channel.k8s.io").ReadAll()[1], "hello\n");
  CommandRequest much = kEcho;
  much.cmd = {"head", "-c", "20000000", "/dev/zero"};
  EXPECT_EQ(Hello(*server_->ForExec(much)).size(), 20000000u);
  EXPECT_EQ(WebSocketClient(*server_->ForExec(much), "v5.channel.k8s.io").ReadAll()[1].size(),
            20000000u);
  // Who speaks plain HTTP to it is cut.
  TestConnection plain("http" + server_->base_url().substr(5) + "/");
  plain.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_THAT(plain.Receive(), Not(HasSubstr("HTTP/1.1")));
}

TEST_F(TlsTest, FilesThatAreWrongAreNamed) {
  EXPECT_THAT(StreamServer::Start({.tls_cert = "/nonexistent", .tls_key = key_}, backend_)
                  .status()
                  .message(),
              HasSubstr("/nonexistent"));
  EXPECT_THAT(
      StreamServer::Start({.tls_cert = cert_, .tls_key = cert_}, backend_).status().message(),
      HasSubstr(cert_));
  EXPECT_THAT(StreamServer::Start({.tls_cert = cert_}, backend_).status().message(),
              HasSubstr("both"));
}

TEST(Workers, TheyStartWithDemandAndGoWhenIdle) {
  Workers workers(4, 100, absl::Milliseconds(20));
  EXPECT_EQ(workers.threads(), 0u);
  absl::Mutex mutex;
  int done = 0;
  for (int i = 0; i < 50; ++i) {
    Workers::Task task = [&] {
      absl::MutexLock lock(&mutex);
      ++done;
    };
    EXPECT_TRUE(workers.Run(task));
  }
  EXPECT_LE(workers.threads(), 4u);
  while (workers.threads() > 0) absl::SleepFor(absl::Milliseconds(5));
  absl::MutexLock lock(&mutex);
  EXPECT_EQ(done, 50);
}

TEST(Workers, TooManyWaitingTasksAreRefusedButNeverCleanUp) {
  Workers workers(1, 1);
  absl::Mutex mutex;
  bool go = false, cleaned = false;
  const auto wait = [&] {
    absl::MutexLock lock(&mutex);
    mutex.Await(absl::Condition(&go));
  };
  Workers::Task first = wait;
  ASSERT_TRUE(workers.Run(first));
  Workers::Task second = wait;
  while (!workers.Run(second)) {  // until the first has been taken up
  }
  Workers::Task third = [] {};
  EXPECT_FALSE(workers.Run(third));
  workers.RunAlways([&] { cleaned = true; });
  {
    absl::MutexLock lock(&mutex);
    go = true;
  }
  workers.Stop();
  EXPECT_TRUE(cleaned);
  EXPECT_FALSE(workers.Run(third));
}

}  // namespace
}  // namespace crisp::stream
