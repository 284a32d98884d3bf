// TLS to a server of the test's own.
#include "cli/client_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/x509.h>

#include <memory>
#include <thread>

namespace crisp {
namespace {

using boost::asio::ip::tcp;

// Serves one client, with a certificate made anew: says "hello", then reads to the end.
class TlsServer {
 public:
  TlsServer() : acceptor_(io_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)) {
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"),
                                                                  EVP_PKEY_free);
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key.get());
    X509_sign(certificate.get(), key.get(), EVP_sha256());
    SSL_CTX_use_certificate(context_.native_handle(), certificate.get());
    SSL_CTX_use_PrivateKey(context_.native_handle(), key.get());
    std::string digest(32, '\0');
    X509_digest(certificate.get(), EVP_sha256(), reinterpret_cast<unsigned char*>(digest.data()),
                nullptr);
    sha256 = Hex(digest);
    thread_ = std::thread([this] { Serve(); });
  }
  ~TlsServer() { thread_.join(); }
  tcp::endpoint endpoint() { return acceptor_.local_endpoint(); }
  // What the client said; after the client has gone.
  std::string heard() {
    thread_.join();
    thread_ = std::thread([] {});
    return heard_;
  }
  std::string sha256;

 private:
  void Serve() {
    boost::system::error_code error;
    boost::asio::ssl::stream<tcp::socket> client(io_, context_);
    acceptor_.accept(client.next_layer(), error);
    client.handshake(boost::asio::ssl::stream_base::server, error);
    client.write_some(boost::asio::buffer("hello", 5), error);
    char byte = 0;
    while (client.read_some(boost::asio::buffer(&byte, 1), error) > 0) heard_ += byte;
  }

  boost::asio::io_context io_;
  boost::asio::ssl::context context_{boost::asio::ssl::context::tls_server};
  tcp::acceptor acceptor_;
  std::string heard_;
  std::thread thread_;
};

TEST(ClientSocket, TakesTheCertificateItWasToldOf) {
  TlsServer server;
  boost::asio::io_context io;
  auto socket = std::make_unique<ClientSocket>(io);
  socket->next_layer().connect(server.endpoint());
  const absl::Status status = socket->StartTls(server.sha256);
  ASSERT_TRUE(status.ok()) << status;
  char text[5];
  EXPECT_EQ(socket->read_some(boost::asio::buffer(text)), 5u);
  EXPECT_EQ(socket->write_some(boost::asio::buffer("token", 5)), 5u);
  socket.reset();
  EXPECT_EQ(server.heard(), "token");
}

TEST(ClientSocket, TakesNoOtherCertificate) {
  TlsServer server;
  boost::asio::io_context io;
  auto socket = std::make_unique<ClientSocket>(io);
  socket->next_layer().connect(server.endpoint());
  const absl::Status status = socket->StartTls(std::string(64, 'a'));
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr(server.sha256));
  socket.reset();
  EXPECT_EQ(server.heard(), "");
}

}  // namespace
}  // namespace crisp
