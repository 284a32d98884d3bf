#include "registry/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <mutex>

#include "absl/cleanup/cleanup.h"
#include "base/status.h"
#include "registry/http_failure.h"

namespace crisp {
namespace {

constexpr int kMaxRedirects = 10;
constexpr size_t kMaxHeaders = 256;
constexpr size_t kMaxIdle = 8;
constexpr int kWatchMillis = 50;

}  // namespace

std::string HttpResponse::Header(const std::string& lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  return found == headers.end() ? std::string() : found->second;
}

// One easy handle in one multi handle: the multi handle lets us wait with an eye on the Call, and
// keeps the connections between requests.
class HttpClient::Session {
 public:
  explicit Session(const RegistryOptions& options)
      : options_(options), multi_(curl_multi_init()), easy_(curl_easy_init()) {}
  ~Session() {
    curl_easy_cleanup(easy_);
    curl_multi_cleanup(multi_);
  }

  // One request without its redirects.
  absl::Status Once(const HttpRequest& request, const std::string& url, bool same_host,
                    const Call& call, HttpResponse* response, HttpFailure* failure) {
    request_ = &request;
    response_ = response;
    *response = HttpResponse{};
    response->url = url;
    receiver_status_ = absl::OkStatus();
    too_large_ = head_told_ = false;
    error_[0] = 0;
    SetUp(request, url, same_host);
    curl_slist* headers = nullptr;
    for (const std::string& header : request.headers)
      headers = curl_slist_append(headers, header.c_str());
    if (same_host && !request.authorization.empty()) {
      headers = curl_slist_append(headers, Cat("Authorization: ", request.authorization).c_str());
    }
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers);
    curl_multi_add_handle(multi_, easy_);
    absl::Cleanup undo = [&] {
      curl_multi_remove_handle(multi_, easy_);
      curl_slist_free_all(headers);
    };
    CURLcode code = CURLE_OK;
    RETURN_IF_ERROR(Drive(call, &code, failure));
    return Judge(code, url, failure);
  }

 private:
  void SetUp(const HttpRequest& request, const std::string& url, bool same_host) {
    curl_easy_reset(easy_);
    curl_easy_setopt(easy_, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    // A name lookup that hangs is left to its own thread when the caller goes.
    curl_easy_setopt(easy_, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy_, CURLOPT_USERAGENT, options_.user_agent.c_str());
    curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, 512L << 10);
    curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(absl::ToInt64Milliseconds(options_.connect_timeout)));
    curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_);
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &Session::OnData);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &Session::OnHeader);
    curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
    if (request.method == "HEAD") curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
    if (request.method == "POST") {
      curl_easy_setopt(easy_, CURLOPT_POST, 1L);
      curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(request.body.size()));
      curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, request.body.c_str());
    }
    const auto origin = OriginOf(url);
    if (origin.ok() && origin->IsLoopback()) curl_easy_setopt(easy_, CURLOPT_PROXY, "");
    SetUpTls(request.tls, same_host);
  }

  // The own authority holds for redirects too (a registry's blob store is often under the same
  // one); the client's certificate is for the host it was configured for.
  void SetUpTls(const TlsOptions& tls, bool same_host) {
    if (!tls.ca_file.empty()) {
      curl_easy_setopt(easy_, CURLOPT_CAINFO, tls.ca_file.c_str());
      curl_easy_setopt(easy_, CURLOPT_CAPATH, "/etc/ssl/certs");  // the system's, besides it
    }
    if (same_host && !tls.client_cert.empty()) {
      curl_easy_setopt(easy_, CURLOPT_SSLCERT, tls.client_cert.c_str());
      curl_easy_setopt(easy_, CURLOPT_SSLKEY, tls.client_key.c_str());
    }
    if (tls.skip_verify) {
      curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYPEER, 0L);
      curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYHOST, 0L);
    }
  }

  absl::Status Drive(const Call& call, CURLcode* code, HttpFailure* failure) {
    last_byte_ = absl::Now();
    while (true) {
      int running = 0;
      curl_multi_perform(multi_, &running);
      int left = 0;
      while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        *code = message->data.result;
        return absl::OkStatus();
      }
      if (absl::Status status = call.Check(); !status.ok()) {
        *failure = HttpFailure::kCaller;
        return status;
      }
      const absl::Time now = absl::Now();
      if (now - last_byte_ > options_.silence_timeout) {
        *failure = HttpFailure::kSilent;
        return absl::UnavailableError(
            Cat("nothing came for ", absl::FormatDuration(options_.silence_timeout)));
      }
      const int64_t left_millis =
          std::max<int64_t>(1, absl::ToInt64Milliseconds(std::min(
                                   call.deadline - now, absl::Milliseconds(kWatchMillis))));
      curl_multi_poll(multi_, nullptr, 0, static_cast<int>(left_millis), nullptr);
    }
  }

  absl::Status Judge(CURLcode code, const std::string& url, HttpFailure* failure) {
    if (!receiver_status_.ok()) {
      *failure = HttpFailure::kReceiver;
      return receiver_status_;
    }
    if (too_large_) {
      *failure = HttpFailure::kProtocol;
      return absl::ResourceExhaustedError(
          Cat(url, ": the answer is larger than ", request_->max_body, " bytes"));
    }
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    response_->status = static_cast<int>(status);
    if (code == CURLE_OK) return absl::OkStatus();
    *failure = FailureOf(code, error_);
    const std::string advice = *failure == HttpFailure::kTls ? TlsAdvice(code, error_) : "";
    return absl::UnavailableError(
        Cat(url, ": ", error_[0] != 0 ? error_ : curl_easy_strerror(code), advice));
  }

  static size_t OnHeader(char* data, size_t size, size_t count, void* context) {
    auto* self = static_cast<Session*>(context);
    self->last_byte_ = absl::Now();
    const std::string_view line = Trim(std::string_view(data, size * count));
    HttpResponse& response = *self->response_;
    if (line.starts_with("HTTP/")) {  // a new head: after 100 Continue, for instance
      response.headers.clear();
      response.challenges.clear();
      return size * count;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || response.headers.size() >= kMaxHeaders)
      return size * count;
    const std::string name = LowerCase(Trim(line.substr(0, colon)));
    const std::string value(Trim(line.substr(colon + 1)));
    if (name == "www-authenticate" && response.challenges.size() < 16)
      response.challenges.push_back(value);
    response.headers[name] = value;
    return size * count;
  }

  static size_t OnData(char* data, size_t size, size_t count, void* context) {
    auto* self = static_cast<Session*>(context);
    const bool taken = self->Take(std::string_view(data, size * count));
    self->last_byte_ = absl::Now();  // after the receiver, which may have waited for room
    return taken ? size * count : CURL_WRITEFUNC_ERROR;
  }

  bool Take(std::string_view bytes) {
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    response_->status = static_cast<int>(status);
    if (request_->on_data != nullptr && (status == 200 || status == 206)) {
      if (!std::exchange(head_told_, true) && request_->on_head != nullptr) {
        receiver_status_ = request_->on_head(*response_);
      }
      if (receiver_status_.ok()) receiver_status_ = request_->on_data(bytes);
      return receiver_status_.ok();
    }
    if (response_->body.size() + bytes.size() > request_->max_body) {
      too_large_ = true;
      return false;
    }
    response_->body.append(bytes);
    return true;
  }

  const RegistryOptions& options_;
  CURLM* multi_;
  CURL* easy_;
  char error_[CURL_ERROR_SIZE];
  const HttpRequest* request_ = nullptr;
  HttpResponse* response_ = nullptr;
  absl::Status receiver_status_;
  absl::Time last_byte_;
  bool too_large_ = false;
  bool head_told_ = false;
};

HttpClient::HttpClient(const RegistryOptions& options) : options_(options) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

HttpClient::~HttpClient() = default;

std::unique_ptr<HttpClient::Session> HttpClient::Take() {
  absl::MutexLock lock(&mutex_);
  if (idle_.empty()) return std::make_unique<Session>(options_);
  std::unique_ptr<Session> session = std::move(idle_.back());
  idle_.pop_back();
  return session;
}

void HttpClient::GiveBack(std::unique_ptr<Session> session) {
  absl::MutexLock lock(&mutex_);
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(session));
}

absl::Status HttpClient::Perform(const HttpRequest& request, const Call& call,
                                 HttpResponse* response, HttpFailure* failure) {
  *failure = HttpFailure::kNone;
  std::unique_ptr<Session> session = Take();
  absl::Cleanup give_back = [&] { GiveBack(std::move(session)); };
  const auto fail = [&](absl::Status status) {
    *failure = HttpFailure::kProtocol;
    return status;
  };
  const auto first = OriginOf(request.url);
  if (!first.ok()) return fail(first.status());
  std::string url = request.url;
  bool same_host = true;
  for (int redirects = 0; redirects <= kMaxRedirects; ++redirects) {
    RETURN_IF_ERROR(session->Once(request, url, same_host, call, response, failure));
    const int status = response->status;
    const bool redirect =
        status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    if (!redirect || request.method == "POST") return absl::OkStatus();
    const auto next = ResolveUrl(url, response->Header("location"));
    if (!next.ok()) return fail(Annotate(next.status(), Cat(url, " redirects badly")));
    const auto origin = OriginOf(*next);
    if (first->scheme == "https" && origin->scheme != "https" && !request.tls.skip_verify) {
      return fail(absl::UnavailableError(Cat(url, " redirects from https to plain http: ", *next)));
    }
    // Once elsewhere, always elsewhere: a stranger that redirects back gets no credentials sent.
    same_host = same_host && *origin == *first;
    url = *next;
  }
  return fail(
      absl::UnavailableError(Cat(request.url, " redirects more than ", kMaxRedirects, " times")));
}

}  // namespace crisp
