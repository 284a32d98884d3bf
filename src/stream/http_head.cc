#include "stream/http_head.h"

#include "absl/strings/match.h"
#include "base/status.h"
#include "stream/beast.h"

namespace crisp::stream {
namespace {

namespace http = boost::beast::http;

bool SameWord(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase(ToAbsl(a), ToAbsl(b));
}

}  // namespace

std::string_view HttpHead::Path() const {
  const std::string_view all = target;
  return all.substr(0, all.find('?'));
}

std::vector<std::string> HttpHead::Query(std::string_view name) const {
  std::vector<std::string> values;
  const size_t mark = target.find('?');
  if (mark == std::string::npos) return values;
  for (std::string_view pair : SplitWords(std::string_view(target).substr(mark + 1), '&')) {
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    for (std::string_view value : SplitWords(pair.substr(equals + 1), ','))
      values.emplace_back(value);
  }
  return values;
}

std::vector<std::string> HttpHead::Values(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [key, text] : fields) {
    if (!SameWord(key, name)) continue;
    for (std::string_view value : Split(text, ',')) {
      if (const std::string_view word = Trim(value); !word.empty()) values.emplace_back(word);
    }
  }
  return values;
}

bool HttpHead::Has(std::string_view name, std::string_view value) const {
  for (const std::string& each : Values(name)) {
    if (SameWord(each, value)) return true;
  }
  return false;
}

absl::StatusOr<size_t> FindHttpHead(std::string_view bytes) {
  // Neither TLS nor binary rubbish begins with a capital letter followed by such.
  for (char c : bytes.substr(0, 3)) {
    if (c < 'A' || c > 'Z') return absl::InvalidArgumentError("this is no HTTP request");
  }
  const size_t end = bytes.substr(0, kMaxHttpHead).find("\r\n\r\n");
  if (end != std::string_view::npos) return end + 4;
  if (bytes.size() >= kMaxHttpHead) {
    return absl::ResourceExhaustedError(
        Cat("the request's head has more than ", kMaxHttpHead, " bytes"));
  }
  return 0;
}

absl::StatusOr<HttpHead> ParseHttpHead(std::string_view bytes) {
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kMaxHttpHead + 1);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  // An announced body is nobody's concern: the head is complete.
  if (!parser.is_header_done()) {
    return absl::InvalidArgumentError(
        Cat("the request cannot be read: ", error ? error.message() : "its head is incomplete"));
  }
  const auto& request = parser.get();
  HttpHead head;
  head.method = std::string(request.method_string());
  head.target = std::string(request.target());
  head.version = static_cast<int>(request.version());
  for (const auto& field : request)
    head.fields.emplace_back(std::string(field.name_string()), std::string(field.value()));
  return head;
}

std::string HttpAnswer(int status, std::string_view text, std::string_view extra) {
  const auto reason = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(status)));
  return Cat("HTTP/1.1 ", status, " ", std::string_view(reason.data(), reason.size()),
             "\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n",
             "X-Content-Type-Options: nosniff\r\n", extra, "Content-Length: ", text.size() + 1,
             "\r\n\r\n", text, "\n");
}

}  // namespace crisp::stream
