// How fast bytes go through the streaming server, and what memory that takes: exec's output over
// SPDY and WebSocket, its input, and a forwarded port. Not built by default:
//   ninja stream_bench && build/release/bin/stream_bench
// The client and the command run beside the server on the same processors.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <thread>

#include "base/text.h"
#include "stream/server.h"
#include "stream/stream_fixture.h"

namespace crisp::stream {
namespace {

constexpr size_t kBytes = size_t{2} << 30;

void Measure(const char* what, const std::function<uint64_t()>& run) {
  const auto start = std::chrono::steady_clock::now();
  const uint64_t bytes = run();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  std::printf("%-28s %8.0f MB/s   (largest memory so far %ld KiB)\n", what,
              static_cast<double>(bytes) / 1e6 / took.count(), usage.ru_maxrss);
}

// Takes what comes off the socket and throws it away, which is the least a client can do.
uint64_t Drain(int fd) {
  std::vector<char> buffer(1 << 20);
  uint64_t total = 0;
  for (;;) {
    const ssize_t count = ::recv(fd, buffer.data(), buffer.size(), MSG_TRUNC);
    if (count < 0 && errno == EINTR) continue;  // the command has ended
    if (count <= 0) break;
    total += static_cast<uint64_t>(count);
    if (total >= kBytes) break;
  }
  return total;
}

std::string Request(const TestConnection& connection, bool web) {
  return Cat("GET ", connection.path(), " HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n",
             web ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                   "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
                 : "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n"
                   "X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n");
}

uint64_t Output(StreamServer& server, bool web) {
  TestConnection client(*server.ForExec({.container_id = "container",
                                         .cmd = {"head", "-c", std::to_string(kBytes), "/dev/zero"},
                                         .out = true}));
  client.Send(Request(client, web));
  client.ReceiveHead();
  SpdyHeaderEncoder encoder;
  if (!web) {
    // Each on its own: the encoder must see them in this order.
    client.Send(SpdySynStream(1, encoder.Encode({{"streamtype", "error"}}), false));
    client.Send(SpdySynStream(3, encoder.Encode({{"streamtype", "stdout"}}), false));
  }
  return Drain(client.fd());
}

uint64_t Input(StreamServer& server) {
  SpdyClient client(*server.ForExec({.container_id = "container",
                                     .cmd = {"sh", "-c", "exec cat > /dev/null"},
                                     .in = true,
                                     .out = true}),
                    {"v4.channel.k8s.io"});
  const uint32_t error = client.OpenType("error"), in = client.OpenType("stdin");
  client.OpenType("stdout");
  const std::string piece(1 << 20, 'x');
  const std::string frame = SpdyDataHead(in, piece.size(), false) + piece;
  for (size_t sent = 0; sent < kBytes; sent += piece.size()) client.WriteRaw(frame);
  client.Write(in, "", true);
  client.ReadAll(error);
  return kBytes;
}

uint64_t Forwarded(StreamServer& server) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size);
  ::listen(listener.get(), 1);
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  std::thread pod([&] {
    UniqueFd fd(::accept(listener.get(), nullptr, nullptr));
    const std::string piece(1 << 20, 'x');
    for (size_t sent = 0; sent < kBytes; sent += piece.size()) {
      if (::send(fd.get(), piece.data(), piece.size(), MSG_NOSIGNAL) < 0) return;
    }
  });
  TestConnection client(*server.ForPortForward("pod", {}));
  client.Send(Request(client, false));
  client.ReceiveHead();
  SpdyHeaderEncoder encoder;
  SpdyHeaders headers = {{"streamtype", "error"},
                         {"port", std::to_string(ntohs(address.sin_port))},
                         {"requestid", "1"}};
  client.Send(SpdySynStream(1, encoder.Encode(headers), true));
  headers[0].second = "data";
  client.Send(SpdySynStream(3, encoder.Encode(headers), false));
  const uint64_t total = Drain(client.fd());
  pod.join();
  return total;
}

int Main() {
  TestBackend backend;
  auto server = StreamServer::Start({}, backend);
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.status().ToString().c_str());
    return 1;
  }
  Measure("exec stdout, SPDY", [&] { return Output(**server, false); });
  Measure("exec stdout, WebSocket", [&] { return Output(**server, true); });
  Measure("exec stdin, SPDY", [&] { return Input(**server); });
  Measure("port-forward, SPDY", [&] { return Forwarded(**server); });
  return 0;
}

}  // namespace
}  // namespace crisp::stream

int main() { return crisp::stream::Main(); }
