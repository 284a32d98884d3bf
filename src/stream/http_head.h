// The head of a client's HTTP request: its parsing (by Beast) and what the server asks of it; and
// the plain answers for whoever is not upgraded. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace crisp::stream {

inline constexpr size_t kMaxHttpHead = 64 << 10;

struct HttpHead {
  std::string method;
  std::string target;
  int version = 11;
  std::vector<std::pair<std::string, std::string>> fields;  // as they came, repeated ones too

  std::string_view Path() const;
  // The values of a query parameter, comma lists cut, in order.
  std::vector<std::string> Query(std::string_view name) const;
  // The elements of all fields of that name, comma lists cut, in order.
  std::vector<std::string> Values(std::string_view name) const;
  // Whether one of them is this, upper or lower case.
  bool Has(std::string_view name, std::string_view value) const;
};

// Where the head ends in what was read so far: the number of its bytes; 0 if more must be read.
// InvalidArgument if this is no HTTP, ResourceExhausted if the head is too large.
absl::StatusOr<size_t> FindHttpHead(std::string_view bytes);

// head is exactly what FindHttpHead found.
absl::StatusOr<HttpHead> ParseHttpHead(std::string_view head);

// A whole answer that ends the connection. extra: further header lines, each with its CRLF.
std::string HttpAnswer(int status, std::string_view text, std::string_view extra = "");

}  // namespace crisp::stream
