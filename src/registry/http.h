// HttpClient: HTTP/1.1 and TLS over libcurl, one request at a time on the calling thread, with
// connections kept for the next. Any thread. It follows redirects itself, so that credentials and
// client certificates never reach another host, and watches the Call at least every 50 ms.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/call.h"
#include "registry/registry_options.h"

namespace crisp {

struct TlsOptions {
  std::string ca_file;
  std::string client_cert;
  std::string client_key;
  bool skip_verify = false;
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // lower-case names; the last of equal ones
  std::vector<std::string> challenges;         // every WWW-Authenticate
  std::string body;                            // unless it went to on_data
  std::string url;                             // the last one asked

  std::string Header(const std::string& lower_case_name) const;
};

struct HttpRequest {
  std::string method = "GET";  // GET, HEAD or POST
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string authorization;         // dropped where a redirect leaves the host
  std::string body;                  // of a POST, a form
  TlsOptions tls;
  size_t max_body = 64 << 10;
  // If set: asked once before the first byte of a 200 or 206; then gets the body piece by piece.
  std::function<absl::Status(const HttpResponse&)> on_head;
  std::function<absl::Status(std::string_view)> on_data;
};

// Why a request has no response.
enum class HttpFailure {
  kNone,
  kConnect,   // no connection: name, network, refused
  kTls,       // no TLS, or a certificate that is not trusted
  kBroken,    // the connection ended before the answer did
  kSilent,    // nothing came for too long
  kProtocol,  // the answer is no HTTP, too large, or redirects without end
  kCaller,    // deadline or cancellation
  kReceiver,  // on_head or on_data refused
};

class HttpClient {
 public:
  explicit HttpClient(const RegistryOptions& options);
  ~HttpClient();

  // Ok if there is a response, whatever its status. Otherwise `failure` says why and the status
  // says it in words, with the receiver's own status for kReceiver.
  absl::Status Perform(const HttpRequest& request, const Call& call, HttpResponse* response,
                       HttpFailure* failure);

 private:
  class Session;
  std::unique_ptr<Session> Take() ABSL_LOCKS_EXCLUDED(mutex_);
  void GiveBack(std::unique_ptr<Session> session) ABSL_LOCKS_EXCLUDED(mutex_);

  const RegistryOptions& options_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Session>> idle_ ABSL_GUARDED_BY(mutex_);
};

// The parts of an http or https URL that decide whether credentials may follow.
struct UrlOrigin {
  std::string scheme;
  std::string host;
  std::string port;
  bool operator==(const UrlOrigin&) const = default;
  bool IsLoopback() const;
};
// InvalidArgument if the text is no http or https URL.
absl::StatusOr<UrlOrigin> OriginOf(const std::string& url);
// `location` as seen from `base`.
absl::StatusOr<std::string> ResolveUrl(const std::string& base, const std::string& location);

}  // namespace crisp
