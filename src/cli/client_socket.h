// ClientSocket: what a WebSocket of this program stands on: TCP, with TLS inside if the server
// wants it, in the form that Beast asks for. For web_socket.cc alone, as all of Asio is. One
// thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/role.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "base/id.h"
#include "base/text.h"

namespace crisp {

class ClientSocket {
 public:
  using Tcp = boost::asio::ip::tcp::socket;
  using Error = boost::system::error_code;
  using executor_type = Tcp::executor_type;

  explicit ClientSocket(boost::asio::io_context& io) : tcp_(io) {}
  executor_type get_executor() { return tcp_.get_executor(); }
  // Beast's name for what lies below.
  Tcp& next_layer() { return tcp_; }
  const Tcp& next_layer() const { return tcp_; }

  // On a connected socket: all further bytes go through TLS, to a server that shows the certificate
  // with this SHA-256 (hex) and no other. Whoever issued it, and for which name, does not matter.
  absl::Status StartTls(std::string_view sha256) {
    namespace ssl = boost::asio::ssl;
    context_.emplace(ssl::context::tls_client);
    tls_.emplace(tcp_, *context_);
    Error error;
    tls_->handshake(ssl::stream_base::client, error);
    if (error)
      return absl::UnavailableError(Cat("TLS with the streaming server: ", error.message()));
    const std::string shown = PeerSha256();
    if (!shown.empty() && shown == sha256) return absl::OkStatus();
    return absl::PermissionDeniedError(
        Cat("the streaming server shows another certificate (SHA-256 ", shown,
            ") than the daemon's (", sha256, "): somebody else may be listening there"));
  }

  template <typename Buffers>
  size_t read_some(const Buffers& buffers, Error& error) {
    return tls_ ? tls_->read_some(buffers, error) : tcp_.read_some(buffers, error);
  }
  template <typename Buffers>
  size_t read_some(const Buffers& buffers) {
    return tls_ ? tls_->read_some(buffers) : tcp_.read_some(buffers);
  }
  template <typename Buffers>
  size_t write_some(const Buffers& buffers, Error& error) {
    return tls_ ? tls_->write_some(buffers, error) : tcp_.write_some(buffers, error);
  }
  template <typename Buffers>
  size_t write_some(const Buffers& buffers) {
    return tls_ ? tls_->write_some(buffers) : tcp_.write_some(buffers);
  }
  template <typename Buffers, typename Handler>
  void async_read_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) {
      tls_->async_read_some(buffers, std::forward<Handler>(handler));
    } else {
      tcp_.async_read_some(buffers, std::forward<Handler>(handler));
    }
  }
  template <typename Buffers, typename Handler>
  void async_write_some(const Buffers& buffers, Handler&& handler) {
    if (tls_) {
      tls_->async_write_some(buffers, std::forward<Handler>(handler));
    } else {
      tcp_.async_write_some(buffers, std::forward<Handler>(handler));
    }
  }

  // How Beast ends it.
  friend void teardown(boost::beast::role_type, ClientSocket& socket, Error& error) {
    socket.tcp_.shutdown(Tcp::shutdown_both, error);
  }
  template <typename Handler>
  friend void async_teardown(boost::beast::role_type, ClientSocket& socket, Handler&& handler) {
    Error error;
    socket.tcp_.shutdown(Tcp::shutdown_both, error);
    boost::asio::post(socket.get_executor(),
                      [handler = std::forward<Handler>(handler)]() mutable { handler(Error()); });
  }

 private:
  std::string PeerSha256() {
    X509* const certificate = ::SSL_get1_peer_certificate(tls_->native_handle());
    std::string digest(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    auto* const bytes = reinterpret_cast<unsigned char*>(digest.data());
    if (certificate != nullptr) ::X509_digest(certificate, ::EVP_sha256(), bytes, &size);
    ::X509_free(certificate);
    return Hex(std::string_view(digest).substr(0, size));
  }

  Tcp tcp_;
  std::optional<boost::asio::ssl::context> context_;
  std::optional<boost::asio::ssl::stream<Tcp&>> tls_;
};

}  // namespace crisp
