#include "cli/web_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>

#include "base/status.h"
#include "cli/client_socket.h"

namespace crisp {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kPeerBytes = 64 << 10;
constexpr size_t kMaxMessageBytes = 4 << 20;

struct Url {
  std::string authority;  // host and port as in the URL
  std::string host, port, path;
  bool tls = false;
};

absl::StatusOr<Url> ParseUrl(const std::string& text) {
  Url url;
  url.tls = text.starts_with("https://");
  const std::string_view scheme = url.tls ? "https://" : "http://";
  const size_t slash = text.find('/', scheme.size());
  if (!text.starts_with(scheme) || slash == std::string::npos) {
    return absl::InternalError(Cat("the daemon's streaming URL is none: \"", text, "\""));
  }
  url.path = text.substr(slash);
  const std::string address = text.substr(scheme.size(), slash - scheme.size());
  url.authority = address;
  const size_t colon = address.rfind(':');
  const bool has_port = colon != std::string::npos && address.find(']', colon) == std::string::npos;
  url.host = has_port ? address.substr(0, colon) : address;
  url.port = has_port ? address.substr(colon + 1) : url.tls ? "443" : "80";
  if (url.host.size() > 2 && url.host.front() == '[') {
    url.host = url.host.substr(1, url.host.size() - 2);
  }
  return url;
}

}  // namespace

struct WebSocket::Parts {
  struct Outgoing {
    std::string message;
    std::function<void()> sent;
  };

  asio::io_context io{1};
  beast::websocket::stream<ClientSocket> socket{io};
  asio::signal_set signals{io};
  asio::steady_timer timer{io};
  beast::flat_buffer incoming;
  std::deque<Outgoing> outgoing;
  Handler handler;
  absl::Status status;
  tcp::socket peer{io};
  std::array<char, kPeerBytes> peer_bytes;

  absl::Status Dial(const Url& url);
  absl::Status Upgrade(const Url& url, const std::string& protocol);
  void AwaitSignal() {
    signals.async_wait([this](error_code error, int number) {
      if (error) return;
      handler.signal(number);
      AwaitSignal();
    });
  }
};

WebSocket::WebSocket(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
WebSocket::~WebSocket() = default;

absl::StatusOr<std::unique_ptr<WebSocket>> WebSocket::Connect(const std::string& text,
                                                              const std::string& certificate,
                                                              const std::string& protocol) {
  ASSIGN_OR_RETURN(const Url url, ParseUrl(text));
  try {
    auto parts = std::make_unique<Parts>();
    RETURN_IF_ERROR(parts->Dial(url));
    // Before the URL's token is shown to anybody.
    if (url.tls) RETURN_IF_ERROR(parts->socket.next_layer().StartTls(certificate));
    RETURN_IF_ERROR(parts->Upgrade(url, protocol));
    return std::unique_ptr<WebSocket>(new WebSocket(std::move(parts)));
  } catch (const std::exception& error) {  // out of descriptors or memory
    return absl::ResourceExhaustedError(Cat("connecting to ", text, ": ", error.what()));
  }
}

absl::Status WebSocket::Parts::Dial(const Url& url) {
  error_code error;
  tcp::resolver resolver(io);
  const auto addresses = resolver.resolve(url.host, url.port, error);
  tcp::socket& tcp_socket = socket.next_layer().next_layer();
  if (!error) {
    for (const auto& address : addresses) {
      tcp_socket.close(error);
      tcp_socket.connect(address.endpoint(), error);
      if (!error) break;
    }
  }
  if (error) {
    return absl::UnavailableError(Cat("no streaming server answers at ", url.host, ":", url.port,
                                      " (", error.message(), "); is this the daemon's own node?"));
  }
  tcp_socket.set_option(tcp::no_delay(true), error);
  return absl::OkStatus();
}

absl::Status WebSocket::Parts::Upgrade(const Url& url, const std::string& protocol) {
  socket.set_option(
      beast::websocket::stream_base::decorator([&](beast::websocket::request_type& request) {
        request.set(beast::http::field::sec_websocket_protocol, protocol);
      }));
  socket.binary(true);
  socket.auto_fragment(false);
  socket.write_buffer_bytes(kPeerBytes + 64);
  socket.read_message_max(kMaxMessageBytes);
  beast::websocket::response_type response;
  error_code error;
  socket.handshake(response, url.authority, url.path, error);
  if (error == beast::websocket::error::upgrade_declined) {
    return absl::Status(
        response.result_int() == 404 ? absl::StatusCode::kNotFound : absl::StatusCode::kInternal,
        Cat("the streaming server refuses: ", response.result_int(), " ", response.body()));
  }
  if (error) return absl::UnavailableError(Cat("the streaming server: ", error.message()));
  if (response[beast::http::field::sec_websocket_protocol] != protocol) {
    return absl::UnimplementedError(Cat("the streaming server does not speak ", protocol));
  }
  return absl::OkStatus();
}

absl::Status WebSocket::Run(Handler handler) {
  parts_->handler = std::move(handler);
  if (parts_->handler.signal) parts_->AwaitSignal();
  ReadNext();
  parts_->io.run();
  return parts_->status;
}

void WebSocket::Stop(absl::Status status) {
  Post([this, status = std::move(status)] {
    parts_->status = status;
    parts_->io.stop();
  });
}

void WebSocket::Post(std::function<void()> task) { asio::post(parts_->io, std::move(task)); }

void WebSocket::ReadNext() {
  Parts& parts = *parts_;
  parts.incoming.consume(parts.incoming.size());
  parts.socket.async_read(parts.incoming, [this, &parts](error_code error, size_t size) {
    if (error == beast::websocket::error::closed || error == asio::error::eof ||
        error == asio::ssl::error::stream_truncated) {
      return Stop(absl::OkStatus());
    }
    if (error) {
      return Stop(absl::UnavailableError(
          Cat("the connection to the streaming server broke: ", error.message())));
    }
    if (size == 0) return ReadNext();
    const auto* bytes = static_cast<const char*>(parts.incoming.data().data());
    parts.handler.message(static_cast<uint8_t>(bytes[0]), std::string_view(bytes + 1, size - 1),
                          [this] { ReadNext(); });
  });
}

void WebSocket::Send(int channel, std::string_view bytes, std::function<void()> sent) {
  std::string message(1, static_cast<char>(channel));
  message += bytes;
  parts_->outgoing.push_back({std::move(message), std::move(sent)});
  if (parts_->outgoing.size() == 1) WriteNext();
}

void WebSocket::WriteNext() {
  Parts& parts = *parts_;
  parts.socket.async_write(
      asio::buffer(parts.outgoing.front().message), [this, &parts](error_code error, size_t) {
        // The reader knows why, or soon will.
        if (error) return;
        const std::function<void()> sent = std::move(parts.outgoing.front().sent);
        parts.outgoing.pop_front();
        if (!parts.outgoing.empty()) WriteNext();
        if (sent) sent();
      });
}

void WebSocket::CatchSignal(int number) {
  error_code error;
  parts_->signals.add(number, error);
}

void WebSocket::After(absl::Duration delay, std::function<void()> task) {
  parts_->timer.expires_after(absl::ToChronoNanoseconds(delay));
  parts_->timer.async_wait([task = std::move(task)](error_code error) {
    if (!error) task();
  });
}

void WebSocket::AddPeer(UniqueFd socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  (void)getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  error_code error;
  parts_->peer.assign(address.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), socket.get(), error);
  if (!error) (void)socket.release();
}

void WebSocket::ReadPeer(std::function<void(std::string_view)> read) {
  Parts& parts = *parts_;
  parts.peer.async_read_some(asio::buffer(parts.peer_bytes),
                             [&parts, read = std::move(read)](error_code error, size_t size) {
                               read(std::string_view(parts.peer_bytes.data(), error ? 0 : size));
                             });
}

void WebSocket::WritePeer(std::string_view bytes, std::function<void(bool)> written) {
  asio::async_write(parts_->peer, asio::buffer(bytes.data(), bytes.size()),
                    [written = std::move(written)](error_code error, size_t) { written(!error); });
}

}  // namespace crisp
