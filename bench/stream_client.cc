#include "bench/stream_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <charconv>

#include "base/status.h"
#include "base/text.h"
#include "stream/spdy_frame.h"

namespace crisp {
namespace {

constexpr size_t kFrameBytes = 32 << 10;  // what kubectl copies at a time
constexpr size_t kFramesInOneWrite = 8;
constexpr int kPatienceSeconds = 30;
constexpr int kBinary = 2;

absl::StatusOr<UniqueFd> Dial(std::string_view host, std::string_view port_text) {
  int port = 0;
  std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, std::string(host).c_str(), &address.sin_addr) != 1)
    return absl::UnimplementedError(Cat("streams of ", host, ": only IPv4 addresses are dialled"));
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience = {kPatienceSeconds, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return ErrnoStatus("connect to ", host, ":", port_text);
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StreamClient>> StreamClient::Exec(const std::string& url,
                                                                 Protocol protocol, bool input) {
  std::unique_ptr<StreamClient> client(new StreamClient(protocol));
  RETURN_IF_ERROR(client->Connect(url, false));
  if (protocol == Protocol::kWebSocket) return client;
  RETURN_IF_ERROR(client->OpenStream({{"streamtype", "error"}}, false));
  if (input) {
    client->input_stream_ = client->next_stream_;
    RETURN_IF_ERROR(client->OpenStream({{"streamtype", "stdin"}}, false));
  }
  RETURN_IF_ERROR(client->OpenStream({{"streamtype", "stdout"}}, false));
  return client;
}

absl::StatusOr<std::unique_ptr<StreamClient>> StreamClient::PortForward(const std::string& url,
                                                                        Protocol protocol,
                                                                        int port) {
  std::unique_ptr<StreamClient> client(new StreamClient(protocol));
  RETURN_IF_ERROR(client->Connect(url, true));
  if (protocol == Protocol::kWebSocket) return client;
  stream::SpdyHeaders headers = {
      {"streamtype", "error"}, {"port", std::to_string(port)}, {"requestid", "0"}};
  RETURN_IF_ERROR(client->OpenStream(headers, true));
  headers[0].second = "data";
  client->input_stream_ = client->next_stream_;
  RETURN_IF_ERROR(client->OpenStream(headers, false));
  return client;
}

absl::Status StreamClient::Connect(const std::string& url, bool port_forward) {
  constexpr std::string_view kScheme = "http://";
  const size_t slash = url.find('/', kScheme.size());
  if (!url.starts_with(kScheme) || slash == std::string::npos)
    return absl::UnimplementedError(Cat("streams at ", url, ": only http:// is spoken"));
  const std::string host = url.substr(kScheme.size(), slash - kScheme.size());
  const size_t colon = host.rfind(':');
  if (colon == std::string::npos) return absl::UnimplementedError(Cat("no port in ", url));
  ASSIGN_OR_RETURN(fd_, Dial(host.substr(0, colon), host.substr(colon + 1)));
  const char* const upgrade =
      protocol_ == Protocol::kSpdy
          ? (port_forward ? "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n"
                          : "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n")
          : (port_forward ? "Upgrade: websocket\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n"
                          : "Upgrade: websocket\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n");
  RETURN_IF_ERROR(SendRaw(Cat("GET ", url.substr(slash), " HTTP/1.1\r\nHost: ", host,
                              "\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                              upgrade, "\r\n")));
  while (ahead_.find("\r\n\r\n") == std::string::npos) {
    ASSIGN_OR_RETURN(const std::string more, ReceiveSome());
    ahead_ += more;
  }
  if (!ahead_.starts_with("HTTP/1.1 101 "))
    return absl::InternalError(Cat("no upgrade: ", ahead_.substr(0, ahead_.find('\r'))));
  ahead_.erase(0, ahead_.find("\r\n\r\n") + 4);
  return absl::OkStatus();
}

absl::Status StreamClient::OpenStream(stream::SpdyHeaders headers, bool ended) {
  const uint32_t id = next_stream_;
  next_stream_ += 2;
  return SendRaw(stream::SpdySynStream(id, encoder_.Encode(headers), ended));
}

// A WebSocket frame is for channel 0 in both uses. Its mask is zero, which spares us the masking;
// the server must unmask all the same.
std::string StreamClient::Frame(std::string_view bytes, bool last) const {
  if (protocol_ == Protocol::kSpdy)
    return Cat(stream::SpdyDataHead(input_stream_, bytes.size(), last), bytes);
  const std::string channel = last ? std::string("\xff\0", 2) : std::string(1, '\0');
  const size_t size = channel.size() + bytes.size();
  std::string head(1, static_cast<char>(0x80 | kBinary));
  if (size < 126) {
    head += static_cast<char>(0x80 | size);
  } else {
    head += static_cast<char>(0x80 | 126);
    head += static_cast<char>(size >> 8);
    head += static_cast<char>(size & 255);
  }
  return Cat(head, std::string(4, '\0'), channel, bytes);
}

absl::Status StreamClient::Send(std::string_view bytes) { return SendRaw(Frame(bytes, false)); }

absl::Status StreamClient::SendMuch(size_t bytes) {
  const std::string frame = Frame(std::string(kFrameBytes, 'x'), false);
  std::string frames;
  for (size_t i = 0; i < kFramesInOneWrite; ++i) frames += frame;
  size_t left = bytes;
  for (; left >= kFrameBytes * kFramesInOneWrite; left -= kFrameBytes * kFramesInOneWrite)
    RETURN_IF_ERROR(SendRaw(frames));
  for (; left >= kFrameBytes; left -= kFrameBytes) RETURN_IF_ERROR(SendRaw(frame));
  return left == 0 ? absl::OkStatus() : Send(std::string(left, 'x'));
}

absl::Status StreamClient::EndInput() { return SendRaw(Frame("", true)); }

absl::Status StreamClient::DropBytes(size_t bytes) {
  size_t total = ahead_.size();
  ahead_.clear();
  while (total < bytes) {
    const ssize_t count = recv(fd_.get(), nullptr, 1 << 20, MSG_TRUNC);  // without a copy
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("receive");
    if (count == 0)
      return absl::UnavailableError(Cat("the stream ended after ", total, " of ", bytes, " bytes"));
    total += static_cast<size_t>(count);
  }
  return absl::OkStatus();
}

absl::Status StreamClient::AwaitText(std::string_view text) {
  while (ahead_.find(text) == std::string::npos) {
    ASSIGN_OR_RETURN(const std::string more, ReceiveSome());
    ahead_ += more;
    if (ahead_.size() > (1 << 20)) return absl::InternalError(Cat("no \"", text, "\" came"));
  }
  ahead_.clear();
  return absl::OkStatus();
}

absl::Status StreamClient::SendRaw(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("send");
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> StreamClient::ReceiveSome() {
  std::string bytes(16 << 10, '\0');
  ssize_t count;
  do {
    count = recv(fd_.get(), bytes.data(), bytes.size(), 0);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return ErrnoStatus("receive");
  if (count == 0) return absl::UnavailableError("the server closed the connection");
  bytes.resize(static_cast<size_t>(count));
  return bytes;
}

}  // namespace crisp
