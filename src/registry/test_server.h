// For tests: an HTTP or HTTPS server on the loopback that answers exactly what the test says, also
// wrongly. One connection a request; the handler runs on a thread of the server.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace crisp {

struct TestHttpRequest {
  std::string method;
  std::string path;                            // with its query
  std::map<std::string, std::string> headers;  // lower-case names
  std::string body;
};

// What an HTTPS server needs; PEM files.
struct TestTls {
  std::string cert_file;
  std::string key_file;
  std::string client_ca_file;  // if set: clients must have a certificate that this one signed
};

class TestHttpServer {
 public:
  // Returns the raw answer, head and all; the connection closes after it.
  using Handler = std::function<std::string(const TestHttpRequest&)>;

  explicit TestHttpServer(Handler handler, const std::string& address = "127.0.0.1",
                          const TestTls& tls = {});
  ~TestHttpServer();

  int port() const { return port_; }
  std::string address() const;  // "127.0.0.1:<port>"
  std::string url() const { return (tls_ != nullptr ? "https://" : "http://") + address(); }
  std::vector<TestHttpRequest> Requests() const ABSL_LOCKS_EXCLUDED(mutex_);

  // A whole answer with a right Content-Length.
  static std::string Answer(int status, const std::string& body = "",
                            const std::vector<std::string>& headers = {});

 private:
  class Stream;
  struct FreeTls {
    void operator()(ssl_ctx_st* context) const;
  };

  void Accept();
  void Serve(int connection) ABSL_LOCKS_EXCLUDED(mutex_);

  const Handler handler_;
  const std::string host_;
  std::unique_ptr<ssl_ctx_st, FreeTls> tls_;  // null: plain HTTP
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_ = false;
  mutable absl::Mutex mutex_;
  std::vector<TestHttpRequest> requests_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace crisp
