// WebSocket: a client's connection after a WebSocket upgrade, by Beast: framing, masks, pings,
// closing. Loop's thread. Operations hold the object until their callback has run; one read and one
// write at a time. Pings of the client are answered while a read is under way.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "stream/http_head.h"
#include "stream/socket.h"

namespace crisp::stream {

class WebSocket : public std::enable_shared_from_this<WebSocket> {
 public:
  // Largest message of a client; it is passed on in pieces and never held.
  static constexpr size_t kMaxMessage = 32 << 20;
  // (error, bytes, whether the message ends with them)
  using ReadDone = absl::AnyInvocable<void(boost::system::error_code, size_t, bool)>;

  enum class Code { kNormal = 1000, kProtocolError = 1002, kBadPayload = 1007, kPolicy = 1008 };

  // text: messages that we send are text, not binary.
  WebSocket(std::shared_ptr<Socket> socket, bool text);
  ~WebSocket();

  // Answers the upgrade; protocol is the chosen sub-protocol, "" for none. On an error the client
  // has got an HTTP answer already.
  void Accept(const HttpHead& head, const std::string& protocol, IoDone done);
  void ReadSome(char* data, size_t size, ReadDone done);
  // One message.
  void Write(const std::vector<std::string_view>& pieces, IoDone done);
  // The closing handshake; a read under way ends with an error.
  void Close(Code code, const std::string& reason, absl::AnyInvocable<void()> done);
  void Cut();

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

// Raw bytes inside binary messages: the SPDY of a tunnelled port-forward.
class WebSocketBytes final : public ByteStream {
 public:
  explicit WebSocketBytes(std::shared_ptr<WebSocket> socket) : socket_(std::move(socket)) {}
  void ReadSome(char* data, size_t size, IoDone done) override;
  void Write(const std::vector<std::string_view>& pieces, IoDone done) override;
  void Finish() override;
  void Close() override;

 private:
  const std::shared_ptr<WebSocket> socket_;
};

}  // namespace crisp::stream
