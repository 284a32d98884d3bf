#include "registry/test_server.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>

#include "base/text.h"

namespace crisp {

// One connection, with or without TLS.
class TestHttpServer::Stream {
 public:
  Stream(int connection, ssl_ctx_st* tls) : connection_(connection) {
    if (tls == nullptr) return;
    tls_ = SSL_new(tls);
    SSL_set_fd(tls_, connection);
    usable_ = SSL_accept(tls_) == 1;
    if (!usable_) Finish();  // the client is to read why, not to be cut off before
  }
  ~Stream() {
    if (tls_ != nullptr) SSL_free(tls_);
    close(connection_);
  }
  Stream(const Stream&) = delete;

  bool usable() const { return usable_; }

  bool Read(std::string* data) {
    char buffer[4096];
    const ssize_t count = tls_ != nullptr ? SSL_read(tls_, buffer, sizeof buffer)
                                          : recv(connection_, buffer, sizeof buffer, 0);
    if (count <= 0) return false;
    data->append(buffer, count);
    return true;
  }

  void Write(std::string_view rest) {
    while (!rest.empty()) {
      const ssize_t count = tls_ != nullptr
                                ? SSL_write(tls_, rest.data(), static_cast<int>(rest.size()))
                                : send(connection_, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      rest.remove_prefix(count);
    }
  }

  // Nothing more is said; waits until the other side has gone.
  void Finish() {
    if (tls_ != nullptr && usable_) SSL_shutdown(tls_);
    shutdown(connection_, SHUT_WR);
    char drop[4096];
    while (recv(connection_, drop, sizeof drop, 0) > 0) {
    }
  }

  bool ReadRequest(TestHttpRequest* request);

 private:
  const int connection_;
  SSL* tls_ = nullptr;
  bool usable_ = true;
};

bool TestHttpServer::Stream::ReadRequest(TestHttpRequest* request) {
  std::string data;
  while (data.find("\r\n\r\n") == std::string::npos) {
    if (data.size() > 65536 || !Read(&data)) return false;
    if (tls_ == nullptr && data[0] == 0x16) {  // the client wants TLS; a web server answers so
      Write(Answer(400));
      Finish();
      return false;
    }
  }
  const size_t end = data.find("\r\n\r\n");
  const std::vector<std::string_view> lines = Split(std::string_view(data).substr(0, end), '\n');
  const std::vector<std::string_view> first = Split(Trim(lines[0]), ' ');
  if (first.size() != 3) return false;
  request->method = first[0];
  request->path = first[1];
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t colon = lines[i].find(':');
    if (colon == std::string_view::npos) continue;
    request->headers[LowerCase(lines[i].substr(0, colon))] = Trim(lines[i].substr(colon + 1));
  }
  const size_t length = request->headers.contains("content-length")
                            ? std::stoul(request->headers["content-length"])
                            : 0;
  while (data.size() < end + 4 + length) {
    if (!Read(&data)) return false;
  }
  request->body = data.substr(end + 4, length);
  return true;
}

void TestHttpServer::FreeTls::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

TestHttpServer::TestHttpServer(Handler handler, const std::string& address, const TestTls& tls)
    : handler_(std::move(handler)), host_(address) {
  if (!tls.cert_file.empty()) {
    signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to clients that have gone
    tls_.reset(SSL_CTX_new(TLS_server_method()));
    bool fine =
        SSL_CTX_use_certificate_chain_file(tls_.get(), tls.cert_file.c_str()) == 1 &&
        SSL_CTX_use_PrivateKey_file(tls_.get(), tls.key_file.c_str(), SSL_FILETYPE_PEM) == 1;
    if (!tls.client_ca_file.empty()) {
      SSL_CTX_set_verify(tls_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
      fine = fine &&
             SSL_CTX_load_verify_locations(tls_.get(), tls.client_ca_file.c_str(), nullptr) == 1;
    }
    if (!fine) {
      std::fprintf(stderr, "test server: no TLS with %s\n", tls.cert_file.c_str());
      std::abort();
    }
  }
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  inet_pton(AF_INET, address.c_str(), &name.sin_addr);
  bind(listener_, reinterpret_cast<sockaddr*>(&name), sizeof name);
  listen(listener_, 64);
  socklen_t size = sizeof name;
  getsockname(listener_, reinterpret_cast<sockaddr*>(&name), &size);
  port_ = ntohs(name.sin_port);
  thread_ = std::thread([this] { Accept(); });
}

TestHttpServer::~TestHttpServer() {
  stop_ = true;
  thread_.join();
  close(listener_);
}

std::string TestHttpServer::address() const { return Cat(host_, ":", port_); }

std::vector<TestHttpRequest> TestHttpServer::Requests() const {
  absl::MutexLock lock(&mutex_);
  return requests_;
}

std::string TestHttpServer::Answer(int status, const std::string& body,
                                   const std::vector<std::string>& headers) {
  std::string answer =
      Cat("HTTP/1.1 ", status, " X\r\nContent-Length: ", body.size(), "\r\nConnection: close\r\n");
  for (const std::string& header : headers) answer += header + "\r\n";
  return answer + "\r\n" + body;
}

void TestHttpServer::Accept() {
  std::vector<std::thread> connections;
  while (!stop_) {
    pollfd ready{listener_, POLLIN, 0};
    if (poll(&ready, 1, 20) <= 0) continue;
    const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection >= 0) connections.emplace_back([this, connection] { Serve(connection); });
  }
  for (std::thread& connection : connections) connection.join();
}

void TestHttpServer::Serve(int connection) {
  Stream stream(connection, tls_.get());
  TestHttpRequest request;
  if (!stream.usable() || !stream.ReadRequest(&request)) return;
  {
    absl::MutexLock lock(&mutex_);
    requests_.push_back(request);
  }
  stream.Write(handler_(request));
  stream.Finish();
}

}  // namespace crisp
