// Port-forward through the whole server, to real listening sockets.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "base/text.h"
#include "stream/server_fixture.h"

namespace crisp::stream {
namespace {

using testing::HasSubstr;

const std::vector<std::string> kProtocol = {"portforward.k8s.io"};

// A server on a free port: every client gets a thread that runs `serve` on its socket.
class Service {
 public:
  explicit Service(std::function<void(int fd)> serve) : serve_(std::move(serve)) {
    fd_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(fd_.get(), generic, size), 0);
    EXPECT_EQ(::listen(fd_.get(), 100), 0);
    EXPECT_EQ(::getsockname(fd_.get(), generic, &size), 0);
    port = ntohs(address.sin_port);
    acceptor_ = std::thread([this] {
      for (;;) {
        UniqueFd client(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!client.valid()) return;
        threads_.emplace_back([this, fd = std::move(client)] { serve_(fd.get()); });
      }
    });
  }
  ~Service() {
    ::shutdown(fd_.get(), SHUT_RDWR);
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
  }
  uint16_t port = 0;

 private:
  std::function<void(int)> serve_;
  UniqueFd fd_;
  std::thread acceptor_;
  std::vector<std::thread> threads_;
};

std::string ReadToEnd(int fd) {
  std::string all;
  char buffer[65536];
  for (ssize_t count; (count = ::read(fd, buffer, sizeof buffer)) > 0;)
    all.append(buffer, static_cast<size_t>(count));
  return all;
}

void Echo(int fd) {
  char buffer[65536];
  for (ssize_t count; (count = ::read(fd, buffer, sizeof buffer)) > 0;) {
    if (::send(fd, buffer, static_cast<size_t>(count), MSG_NOSIGNAL) != count) return;
  }
}

class PortForwardTest : public StreamServerTest {
 protected:
  struct Pair {
    uint32_t error, data;
  };
  // With id "" as clients of old do.
  static Pair Open(SpdyClient& client, uint16_t port, const std::string& id) {
    SpdyHeaders headers = {{"streamtype", "error"}, {"port", std::to_string(port)}};
    if (!id.empty()) headers.emplace_back("requestid", id);
    const uint32_t error = client.Open(headers);
    client.Write(error, "", true);
    headers[0].second = "data";
    return {error, client.Open(headers)};
  }
};

TEST_F(PortForwardTest, ManyConnectionsShareOneSession) {
  Service echo(Echo);
  SpdyClient client(PortForward(), kProtocol);
  ASSERT_TRUE(client.upgraded()) << client.head();
  EXPECT_THAT(client.head(), HasSubstr("X-Stream-Protocol-Version: portforward.k8s.io\r\n"));
  std::vector<Pair> pairs;
  for (int i = 0; i < 20; ++i) pairs.push_back(Open(client, echo.port, std::to_string(i)));
  for (size_t i = 0; i < pairs.size(); ++i) client.Write(pairs[i].data, Cat("hello ", i));
  for (size_t i = 0; i < pairs.size(); ++i) {
    const std::string text = Cat("hello ", i);
    EXPECT_EQ(client.ReadAtLeast(pairs[i].data, text.size()), text);
    client.Write(pairs[i].data, "", true);
  }
  for (const Pair& pair : pairs) {
    client.ReadAll(pair.data);
    EXPECT_TRUE(client.stream(pair.data).finished);
    EXPECT_EQ(client.ReadAll(pair.error), "");
    EXPECT_TRUE(client.stream(pair.error).finished);
  }
}

TEST_F(PortForwardTest, StreamsWithoutRequestIdsArePairedByOrder) {
  Service echo(Echo);
  SpdyClient client(PortForward(), kProtocol, "GET");
  for (int i = 0; i < 3; ++i) {
    const Pair pair = Open(client, echo.port, "");
    client.Write(pair.data, "abc", true);
    EXPECT_EQ(client.ReadAll(pair.data), "abc");
  }
}

TEST_F(PortForwardTest, AHalfCloseReachesThePodAndItsAnswerComesBack) {
  Service late([](int fd) {
    const std::string all = ReadToEnd(fd);
    absl::SleepFor(absl::Milliseconds(1500));
    const std::string answer = Cat("you sent ", all.size());
    (void)!::write(fd, answer.data(), answer.size());
  });
  SpdyClient client(PortForward({late.port}), kProtocol);
  const Pair pair = Open(client, late.port, "1");
  client.Write(pair.data, std::string(3 << 20, 'x'));
  client.Write(pair.data, "", true);
  EXPECT_EQ(client.ReadAll(pair.data), Cat("you sent ", 3 << 20));
}

TEST_F(PortForwardTest, MuchDataGoesThroughBothWays) {
  Service echo(Echo);
  SpdyClient client(PortForward(), kProtocol);
  client.keep_bytes = 4096;
  const Pair pair = Open(client, echo.port, "1");
  constexpr size_t kBytes = 64 << 20;
  std::thread reader([&] { client.ReadAtLeast(pair.data, kBytes); });
  const std::string piece(1 << 20, 'x');
  const std::string head = SpdyDataHead(pair.data, piece.size(), false);
  for (size_t sent = 0; sent < kBytes; sent += piece.size())
    ASSERT_TRUE(client.WriteRaw(head) && client.WriteRaw(piece));
  reader.join();
  EXPECT_EQ(client.stream(pair.data).bytes, kBytes);
}

TEST_F(PortForwardTest, AClosedPortIsToldOnItsErrorStreamAndTheSessionLives) {
  Service echo(Echo);
  uint16_t closed;
  {
    closed = Service([](int) {}).port;
  }
  SpdyClient client(PortForward(), kProtocol);
  const Pair broken = Open(client, closed, "1");
  EXPECT_THAT(client.ReadAll(broken.error), HasSubstr(Cat("port ", closed)));
  client.ReadAll(broken.data);
  EXPECT_TRUE(client.stream(broken.data).reset);
  const Pair whole = Open(client, echo.port, "2");
  client.Write(whole.data, "abc", true);
  EXPECT_EQ(client.ReadAll(whole.data), "abc");
}

TEST_F(PortForwardTest, OnlyTheRequestedPortsAreReached) {
  Service echo(Echo);
  SpdyClient client(PortForward({static_cast<uint16_t>(echo.port ^ 1)}), kProtocol);
  EXPECT_THAT(client.ReadAll(Open(client, echo.port, "1").error), HasSubstr("none of those"));
}

TEST_F(PortForwardTest, APodThatClosesEndsTheClientsSideToo) {
  Service bye([](int fd) { (void)!::write(fd, "bye", 3); });
  SpdyClient client(PortForward(), kProtocol);
  const Pair pair = Open(client, bye.port, "1");
  EXPECT_EQ(client.ReadAll(pair.data), "bye");
  // The client goes on sending and is told after a moment.
  while (!client.stream(pair.data).reset) ASSERT_TRUE(client.ReadOnce());
}

TEST_F(PortForwardTest, AClientThatResetsClosesThePodsSide) {
  absl::Mutex mutex;
  bool closed = false;
  Service wait([&](int fd) {
    ReadToEnd(fd);
    absl::MutexLock lock(&mutex);
    closed = true;
  });
  SpdyClient client(PortForward(), kProtocol);
  const Pair pair = Open(client, wait.port, "1");
  client.Write(pair.data, "abc");
  while (!client.stream(pair.data).replied) ASSERT_TRUE(client.ReadOnce());
  client.Reset(pair.data);
  absl::MutexLock lock(&mutex);
  EXPECT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&closed), absl::Seconds(20)));
}

TEST_F(PortForwardTest, ALoneStreamIsGivenUpInTime) {
  Start({.creation_timeout = absl::Milliseconds(200)});
  SpdyClient client(PortForward(), kProtocol);
  const uint32_t error = client.Open({{"streamtype", "error"}, {"port", "80"}, {"requestid", "1"}});
  EXPECT_THAT(client.ReadAll(error), HasSubstr("did not come in time"));
}

TEST_F(PortForwardTest, NonsenseInTheHeadersIsRefused) {
  SpdyClient client(PortForward(), kProtocol);
  for (const char* port : {"0", "65536", "-1", "http", ""}) {
    const uint32_t stream = client.Open({{"streamtype", "error"}, {"port", port}});
    client.ReadAll(stream);
    EXPECT_TRUE(client.stream(stream).reset) << port;
  }
}

TEST_F(PortForwardTest, WebSocketChannelsBeginWithTheirPort) {
  Service echo(Echo);
  for (const std::string protocol : {"v4.channel.k8s.io", ""}) {
    WebSocketClient client(PortForward({echo.port, 1}), protocol);
    ASSERT_TRUE(client.upgraded()) << client.head();
    std::map<int, std::string> got;
    client.SendChannel(0, "hello");
    while (got[0].size() < 7 || got[1].size() < 2 || got[3].size() < 3) {
      const auto message = client.Receive();
      ASSERT_EQ(message.opcode, WebSocketClient::kBinary);
      got[message.data[0]] += message.data.substr(1);
    }
    const std::string port = {static_cast<char>(echo.port & 255),
                              static_cast<char>(echo.port >> 8)};
    EXPECT_EQ(got[0], port + "hello");
    EXPECT_EQ(got[1], port);
    EXPECT_EQ(got[3].substr(0, 2), std::string("\1\0", 2));
    EXPECT_THAT(got[3], HasSubstr("error forwarding port 1"));
  }
}

TEST_F(PortForwardTest, WebSocketTakesPortsFromTheQueryAndClosesWhenAllHaveEnded) {
  Service bye([](int fd) { (void)!::write(fd, "bye", 3); });
  WebSocketClient client(Cat(PortForward(), "?port=", bye.port), "v4.channel.k8s.io");
  ASSERT_TRUE(client.upgraded()) << client.head();
  EXPECT_THAT(client.ReadAll()[0], HasSubstr("bye"));
  EXPECT_EQ(client.close_code, 1000);
  EXPECT_THAT(WebSocketClient(PortForward(), "v4.channel.k8s.io").head(),
              HasSubstr("400 Bad Request"));
}

TEST_F(PortForwardTest, SpdyGoesThroughATunnelOfWebSocketMessages) {
  Service echo(Echo);
  WebSocketClient client(PortForward(), "SPDY/3.1+portforward.k8s.io");
  ASSERT_TRUE(client.upgraded()) << client.head();
  EXPECT_THAT(client.head(), HasSubstr("SPDY/3.1+portforward.k8s.io"));
  SpdyHeaderEncoder encoder;
  SpdyHeaders headers = {
      {"streamtype", "error"}, {"port", std::to_string(echo.port)}, {"requestid", "0"}};
  client.Send(SpdySynStream(1, encoder.Encode(headers), true));
  headers[0].second = "data";
  const std::string open = SpdySynStream(3, encoder.Encode(headers), false);
  // Frames and messages need not have the same ends.
  client.Send(open.substr(0, 5));
  client.Send(Cat(open.substr(5), SpdyDataHead(3, 5, true), "hel"));
  client.Send("lo");
  std::string bytes;
  while (bytes.find("hello") == std::string::npos) {
    const auto message = client.Receive();
    ASSERT_EQ(message.opcode, WebSocketClient::kBinary);
    bytes += message.data;
  }
}

}  // namespace
}  // namespace crisp::stream
