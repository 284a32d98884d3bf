// The clients of stream_fixture.h.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/status.h"
#include "stream/stream_fixture.h"

namespace crisp::stream {

TestConnection::TestConnection(const std::string& url) {
  const bool secure = url.starts_with("https://");
  const size_t host = url.find("://") + 3;
  const size_t slash = url.find('/', host);
  path_ = url.substr(slash);
  const std::string host_and_port = url.substr(host, slash - host);
  const uint16_t port =
      static_cast<uint16_t>(std::stoi(host_and_port.substr(host_and_port.rfind(':') + 1)));
  if (host_and_port.front() == '[') {
    fd_.reset(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 address = {};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_addr = in6addr_loopback;
    if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      fd_.reset();
  } else {
    fd_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      fd_.reset();
  }
  timeval patience = {20, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (!secure) return;
  context_ = ::SSL_CTX_new(::TLS_client_method());
  tls_ = ::SSL_new(context_);
  ::SSL_set_fd(tls_, fd_.get());
  ::SSL_connect(tls_);
}

TestConnection::~TestConnection() {
  if (tls_ != nullptr) ::SSL_free(tls_);
  if (context_ != nullptr) ::SSL_CTX_free(context_);
}

// A child's end interrupts calls on sockets that have a time limit.
bool TestConnection::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = tls_ != nullptr
                              ? ::SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size()))
                              : ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

std::string TestConnection::Receive(size_t most) {
  if (!ahead_.empty()) return std::exchange(ahead_, {});
  std::string out(most, '\0');
  ssize_t count;
  do {
    errno = 0;
    count = tls_ != nullptr ? ::SSL_read(tls_, out.data(), static_cast<int>(out.size()))
                            : ::recv(fd_.get(), out.data(), out.size(), 0);
  } while (count < 0 && errno == EINTR);
  out.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return out;
}

std::string TestConnection::ReceiveHead() {
  std::string head;
  for (;;) {
    const size_t end = head.find("\r\n\r\n");
    if (end != std::string::npos) {
      ahead_ = head.substr(end + 4);
      return head.substr(0, end + 4);
    }
    const std::string more = Receive();
    if (more.empty()) return head;
    head += more;
  }
}

SpdyClient::SpdyClient(const std::string& url, const std::vector<std::string>& protocols,
                       const std::string& method)
    : connection_(url) {
  std::string request = Cat(method, " ", connection_.path(),
                            " HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n"
                            "Upgrade: SPDY/3.1\r\n");
  for (const std::string& each : protocols)
    request += Cat("X-Stream-Protocol-Version: ", each, "\r\n");
  connection_.Send(request + "\r\n");
  head_ = connection_.ReceiveHead();
}

uint32_t SpdyClient::Open(const SpdyHeaders& headers, bool fin) {
  const uint32_t id = next_;
  next_ += 2;
  WriteRaw(SpdySynStream(id, encoder_.Encode(headers), fin));
  return id;
}

bool SpdyClient::Write(uint32_t stream, std::string_view data, bool fin) {
  return WriteRaw(SpdyDataHead(stream, data.size(), fin)) && WriteRaw(data);
}

bool SpdyClient::ReadOnce() {
  const std::string bytes = connection_.Receive();
  return !bytes.empty() && frames_.Feed(bytes, *this).ok();
}

std::string SpdyClient::ReadAll(uint32_t stream) {
  while (!streams_[stream].finished && !streams_[stream].reset) {
    if (!ReadOnce()) break;
  }
  return streams_[stream].data;
}

std::string SpdyClient::ReadAtLeast(uint32_t stream, size_t count) {
  while (streams_[stream].bytes < count && ReadOnce()) {
  }
  return streams_[stream].data;
}

bool SpdyClient::ReadToEnd() {
  while (ReadOnce()) {
  }
  return going_away;
}

absl::Status SpdyClient::OnControl(SpdyType type, uint8_t, std::string_view payload) {
  const uint32_t id = SpdyNumber(payload);
  if (type == SpdyType::kSynReply) {
    streams_[id].replied = true;
    return decoder_.Decode(payload.substr(4)).status();
  }
  if (type == SpdyType::kRstStream) {
    streams_[id].reset = true;
    streams_[id].reset_status = SpdyNumber(payload.substr(4));
  }
  if (type == SpdyType::kPing) pings.push_back(id);
  if (type == SpdyType::kGoAway) {
    going_away = true;
    go_away_status = SpdyNumber(payload.substr(4));
  }
  return absl::OkStatus();
}

absl::Status SpdyClient::OnData(uint32_t id, std::string_view piece, bool fin) {
  Incoming& stream = streams_[id];
  if (!stream.replied) stream.data_before_reply = true;
  stream.data += piece.substr(0, keep_bytes - std::min(keep_bytes, stream.data.size()));
  stream.bytes += piece.size();
  if (fin) stream.finished = true;
  return absl::OkStatus();
}

WebSocketClient::WebSocketClient(const std::string& url, const std::string& protocol)
    : connection_(url) {
  connection_.Send(Cat("GET ", connection_.path(),
                       " HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\n"
                       "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                       protocol.empty() ? "" : Cat("Sec-WebSocket-Protocol: ", protocol, "\r\n"),
                       "\r\n"));
  head_ = connection_.ReceiveHead();
}

bool WebSocketClient::Send(std::string_view message, Opcode opcode) {
  constexpr char kMask[] = {0x11, 0x22, 0x33, 0x44};
  std::string frame(1, static_cast<char>(0x80 | opcode));
  if (message.size() < 126) {
    frame += static_cast<char>(0x80 | message.size());
  } else {
    frame += static_cast<char>(0x80 | 127);
    for (int shift = 56; shift >= 0; shift -= 8)
      frame += static_cast<char>(uint64_t{message.size()} >> shift);
  }
  frame.append(kMask, 4);
  const size_t start = frame.size();
  frame.append(message);
  for (size_t i = 0; i < message.size(); ++i) frame[start + i] ^= kMask[i % 4];
  return connection_.Send(frame);
}

bool WebSocketClient::Fill(size_t count) {
  while (buffer_.size() - at_ < count) {
    if (at_ > 0) buffer_.erase(0, std::exchange(at_, 0));
    const std::string more = connection_.Receive();
    if (more.empty()) return false;
    buffer_ += more;
  }
  return true;
}

WebSocketClient::Message WebSocketClient::Receive() {
  Message message;
  for (;;) {
    if (!Fill(2)) return {};
    const uint8_t first = static_cast<uint8_t>(buffer_[at_]);
    uint64_t size = static_cast<uint8_t>(buffer_[at_ + 1]) & 127;
    size_t head = 2;
    if (size > 125) {
      const size_t bytes = size == 126 ? 2 : 8;
      if (!Fill(2 + bytes)) return {};
      size = 0;
      for (size_t i = 0; i < bytes; ++i)
        size = size << 8 | static_cast<uint8_t>(buffer_[at_ + 2 + i]);
      head += bytes;
    }
    if (!Fill(head + size)) return {};
    if ((first & 15) != 0) message.opcode = first & 15;
    message.data.append(buffer_, at_ + head, size);
    at_ += head + size;
    if ((first & 0x80) != 0) break;
  }
  if (message.opcode == kClose) {
    if (message.data.size() >= 2) {
      close_code =
          static_cast<uint8_t>(message.data[0]) << 8 | static_cast<uint8_t>(message.data[1]);
      close_reason = message.data.substr(2);
    }
    Send(message.data, kClose);
  }
  return message;
}

std::map<int, std::string> WebSocketClient::ReadAll() {
  std::map<int, std::string> channels;
  for (;;) {
    const Message message = Receive();
    if (message.opcode == 0 || message.opcode == kClose) return channels;
    if (message.opcode != kPong && !message.data.empty())
      channels[static_cast<uint8_t>(message.data[0])] += message.data.substr(1);
  }
}

}  // namespace crisp::stream
