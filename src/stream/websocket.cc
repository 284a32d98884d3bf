#include "stream/websocket.h"

#include "base/log.h"
#include "stream/beast.h"

namespace crisp::stream {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;

// A Socket in the form that Beast asks for; hides from it whether there is TLS, and so halves what
// it must compile.
class BeastSocket {
 public:
  using executor_type = asio::io_context::executor_type;

  explicit BeastSocket(std::shared_ptr<Socket> socket) : socket_(std::move(socket)) {}
  executor_type get_executor() noexcept { return socket_->context().get_executor(); }
  Socket& socket() { return *socket_; }

  template <typename Buffers, typename Handler>
  auto async_read_some(const Buffers& buffers, Handler&& handler) {
    return asio::async_initiate<Handler, void(error_code, size_t)>(
        [this](auto done, const Buffers& to) {
          const asio::mutable_buffer first = FirstOf<asio::mutable_buffer>(to);
          socket_->ReadSome(static_cast<char*>(first.data()), first.size(), std::move(done));
        },
        handler, buffers);
  }
  template <typename Buffers, typename Handler>
  auto async_write_some(const Buffers& buffers, Handler&& handler) {
    return asio::async_initiate<Handler, void(error_code, size_t)>(
        [this](auto done, const Buffers& from) {
          std::vector<std::string_view> pieces;
          for (auto it = asio::buffer_sequence_begin(from); it != asio::buffer_sequence_end(from);
               ++it) {
            const asio::const_buffer each(*it);
            if (each.size() != 0)
              pieces.emplace_back(static_cast<const char*>(each.data()), each.size());
          }
          socket_->WriteSome(pieces, std::move(done));
        },
        handler, buffers);
  }

  friend void beast_close_socket(BeastSocket& stream) { stream.socket_->Close(); }
  friend void teardown(beast::role_type, BeastSocket& stream, error_code&) {
    stream.socket_->Finish();
  }
  template <typename Handler>
  friend void async_teardown(beast::role_type, BeastSocket& stream, Handler&& handler) {
    stream.socket_->Finish();
    asio::post(stream.get_executor(),
               [handler = std::forward<Handler>(handler)]() mutable { handler(error_code()); });
  }

 private:
  template <typename Buffer, typename Buffers>
  static Buffer FirstOf(const Buffers& buffers) {
    for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers);
         ++it) {
      const Buffer each(*it);
      if (each.size() != 0) return each;
    }
    return Buffer();
  }

  std::shared_ptr<Socket> socket_;
};

}  // namespace

struct WebSocket::Parts {
  explicit Parts(std::shared_ptr<Socket> socket) : stream(std::move(socket)) {}
  http::request<http::empty_body> request;  // until accepted
  websocket::stream<BeastSocket> stream;
};

WebSocket::WebSocket(std::shared_ptr<Socket> socket, bool text)
    : parts_(std::make_unique<Parts>(std::move(socket))) {
  auto& stream = parts_->stream;
  stream.auto_fragment(false);
  stream.read_message_max(kMaxMessage);
  stream.text(text);
  websocket::permessage_deflate no_compression;
  no_compression.server_enable = no_compression.client_enable = false;
  stream.set_option(no_compression);
}

WebSocket::~WebSocket() = default;

void WebSocket::Accept(const HttpHead& head, const std::string& protocol, IoDone done) {
  auto& request = parts_->request;
  request.method(http::string_to_verb(head.method));
  request.target(head.target);
  request.version(static_cast<unsigned>(head.version));
  for (const auto& [name, value] : head.fields) request.insert(name, value);
  if (!protocol.empty()) {
    parts_->stream.set_option(
        websocket::stream_base::decorator([protocol](websocket::response_type& response) {
          response.set(http::field::sec_websocket_protocol, protocol);
        }));
  }
  parts_->stream.async_accept(
      request, [self = shared_from_this(), done = std::move(done)](error_code error) mutable {
        self->parts_->request = {};
        done(error, 0);
      });
}

void WebSocket::ReadSome(char* data, size_t size, ReadDone done) {
  parts_->stream.async_read_some(
      asio::buffer(data, size),
      [self = shared_from_this(), done = std::move(done)](error_code error, size_t count) mutable {
        done(error, count, self->parts_->stream.is_message_done());
      });
}

void WebSocket::Write(const std::vector<std::string_view>& pieces, IoDone done) {
  std::vector<asio::const_buffer> buffers;
  for (std::string_view piece : pieces) buffers.emplace_back(piece.data(), piece.size());
  parts_->stream.async_write(buffers,
                             [self = shared_from_this(), done = std::move(done)](
                                 error_code error, size_t count) mutable { done(error, count); });
}

void WebSocket::Close(Code code, const std::string& reason, absl::AnyInvocable<void()> done) {
  // A reason has room for 123 bytes.
  const websocket::close_reason why(static_cast<websocket::close_code>(code),
                                    reason.substr(0, 120));
  parts_->stream.async_close(
      why, [self = shared_from_this(), done = std::move(done)](error_code) mutable { done(); });
}

void WebSocket::Cut() { parts_->stream.next_layer().socket().Close(); }

void WebSocketBytes::ReadSome(char* data, size_t size, IoDone done) {
  socket_->ReadSome(data, size,
                    [done = std::move(done)](error_code error, size_t count, bool) mutable {
                      done(error, count);
                    });
}

void WebSocketBytes::Write(const std::vector<std::string_view>& pieces, IoDone done) {
  socket_->Write(pieces, std::move(done));
}

void WebSocketBytes::Finish() {
  socket_->Close(WebSocket::Code::kNormal, "", [socket = socket_] { socket->Cut(); });
}

void WebSocketBytes::Close() { socket_->Cut(); }

}  // namespace crisp::stream
