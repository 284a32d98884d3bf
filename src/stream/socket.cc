#include "stream/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstring>
#include <optional>

#include "base/id.h"
#include "base/status.h"
#include "stream/asio.h"

namespace crisp::stream {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr size_t kMaxTransfer = 1 << 20;  // bytes in one system call

// A client that vanished without a word is noticed after a minute.
void SetOptions(int fd) {
  const int on = 1, idle = 30, interval = 10, count = 3;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

asio::ip::tcp FamilyOf(int fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return address.ss_family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4();
}

std::vector<asio::const_buffer> Buffers(const std::vector<std::string_view>& pieces) {
  std::vector<asio::const_buffer> buffers;
  buffers.reserve(pieces.size());
  for (std::string_view piece : pieces) {
    if (!piece.empty()) buffers.emplace_back(piece.data(), piece.size());
  }
  return buffers;
}

}  // namespace

struct TlsContext::Parts {
  asio::ssl::context context{asio::ssl::context::tls_server};
};

TlsContext::TlsContext(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TlsContext::~TlsContext() = default;

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::Load(const std::string& cert_file,
                                                             const std::string& key_file) {
  auto parts = std::make_unique<Parts>();
  error_code error;
  parts->context.set_options(asio::ssl::context::default_workarounds |
                                 asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1,
                             error);
  parts->context.use_certificate_chain_file(cert_file, error);
  if (error) {
    return absl::InvalidArgumentError(
        Cat("read the streaming server's certificate ", cert_file, ": ", error.message()));
  }
  parts->context.use_private_key_file(key_file, asio::ssl::context::pem, error);
  if (error) {
    return absl::InvalidArgumentError(
        Cat("use the streaming server's key ", key_file, ": ", error.message()));
  }
  return std::unique_ptr<TlsContext>(new TlsContext(std::move(parts)));
}

std::string TlsContext::Sha256() const {
  const X509* certificate = ::SSL_CTX_get0_certificate(parts_->context.native_handle());
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  auto* bytes = reinterpret_cast<unsigned char*>(digest.data());
  if (certificate == nullptr || ::X509_digest(certificate, ::EVP_sha256(), bytes, &size) != 1)
    return "";
  return Hex(std::string_view(digest).substr(0, size));
}

struct Socket::Parts {
  explicit Parts(Loop& loop) : context(loop.context()), tcp(loop.context()) {}
  asio::io_context& context;
  asio::ip::tcp::socket tcp;
  std::optional<asio::ssl::stream<asio::ip::tcp::socket&>> tls;
  std::string unread;
};

Socket::Socket(Loop& loop, UniqueFd fd, TlsContext* tls) : parts_(std::make_unique<Parts>(loop)) {
  SetOptions(fd.get());
  error_code error;
  parts_->tcp.assign(FamilyOf(fd.get()), fd.get(), error);
  if (!error) fd.release();
  if (tls != nullptr) parts_->tls.emplace(parts_->tcp, tls->parts().context);
}

Socket::~Socket() = default;

void Socket::Handshake(IoDone done) {
  auto after = [self = shared_from_this(), done = std::move(done)](error_code error) mutable {
    done(error, 0);
  };
  if (parts_->tls) {
    parts_->tls->async_handshake(asio::ssl::stream_base::server, std::move(after));
  } else {
    asio::post(parts_->context, [after = std::move(after)]() mutable { after(error_code()); });
  }
}

void Socket::Unread(std::string bytes) { parts_->unread = std::move(bytes); }

void Socket::ReadSome(char* data, size_t size, IoDone done) {
  auto after = [self = shared_from_this(), done = std::move(done)](
                   error_code error, size_t count) mutable { done(error, count); };
  if (!parts_->unread.empty()) {
    const size_t count = std::min(size, parts_->unread.size());
    std::memcpy(data, parts_->unread.data(), count);
    parts_->unread.erase(0, count);
    asio::post(parts_->context,
               [after = std::move(after), count]() mutable { after(error_code(), count); });
  } else if (parts_->tls) {
    parts_->tls->async_read_some(asio::buffer(data, size), std::move(after));
  } else {
    parts_->tcp.async_read_some(asio::buffer(data, size), std::move(after));
  }
}

void Socket::Write(const std::vector<std::string_view>& pieces, IoDone done) {
  auto all = [](const error_code& error, size_t) { return error ? size_t{0} : kMaxTransfer; };
  auto after = [self = shared_from_this(), done = std::move(done)](
                   error_code error, size_t count) mutable { done(error, count); };
  if (parts_->tls) {
    asio::async_write(*parts_->tls, Buffers(pieces), all, std::move(after));
  } else {
    asio::async_write(parts_->tcp, Buffers(pieces), all, std::move(after));
  }
}

void Socket::WriteSome(const std::vector<std::string_view>& pieces, IoDone done) {
  auto after = [self = shared_from_this(), done = std::move(done)](
                   error_code error, size_t count) mutable { done(error, count); };
  if (parts_->tls) {
    parts_->tls->async_write_some(Buffers(pieces), std::move(after));
  } else {
    parts_->tcp.async_write_some(Buffers(pieces), std::move(after));
  }
}

void Socket::Finish() {
  error_code ignored;
  if (!parts_->tls) {
    parts_->tcp.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    return;
  }
  // close_notify; what the client still sends is of no interest.
  parts_->tls->async_shutdown([self = shared_from_this()](error_code) {
    error_code none;
    self->parts_->tcp.shutdown(asio::ip::tcp::socket::shutdown_send, none);
  });
}

void Socket::Close() {
  error_code ignored;
  parts_->tcp.close(ignored);
}

asio::io_context& Socket::context() { return parts_->context; }

}  // namespace crisp::stream
