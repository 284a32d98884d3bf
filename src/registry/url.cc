#include <arpa/inet.h>
#include <curl/curl.h>

#include "base/status.h"
#include "registry/http.h"

namespace crisp {
namespace {

class Url {
 public:
  Url() : handle_(curl_url()) {}
  ~Url() { curl_url_cleanup(handle_); }
  bool Set(const std::string& text) {
    return curl_url_set(handle_, CURLUPART_URL, text.c_str(), 0) == CURLUE_OK;
  }
  std::string Get(CURLUPart part, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl_url_get(handle_, part, &text, flags) != CURLUE_OK) return "";
    std::string copy = text;
    curl_free(text);
    return copy;
  }

 private:
  CURLU* handle_;
};

absl::Status Malformed(std::string_view url) {
  return absl::InvalidArgumentError(Cat("\"", url.substr(0, 200), "\" is no http or https URL"));
}

}  // namespace

bool UrlOrigin::IsLoopback() const {
  if (host == "localhost" || host == "[::1]") return true;
  in_addr address;
  return inet_pton(AF_INET, host.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

absl::StatusOr<UrlOrigin> OriginOf(const std::string& text) {
  Url url;
  if (text.size() > 16384 || !url.Set(text)) return Malformed(text);
  UrlOrigin origin{url.Get(CURLUPART_SCHEME), url.Get(CURLUPART_HOST),
                   url.Get(CURLUPART_PORT, CURLU_DEFAULT_PORT)};
  if ((origin.scheme != "http" && origin.scheme != "https") || origin.host.empty()) {
    return Malformed(text);
  }
  return origin;
}

absl::StatusOr<std::string> ResolveUrl(const std::string& base, const std::string& location) {
  Url url;
  if (location.empty() || location.size() > 16384 || !url.Set(base) || !url.Set(location)) {
    return Malformed(location);
  }
  std::string resolved = url.Get(CURLUPART_URL);
  RETURN_IF_ERROR(OriginOf(resolved).status());
  return resolved;
}

}  // namespace crisp
