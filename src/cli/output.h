// How `crisp` shows things: tables for people, JSON for programs, and short forms of ids, times and
// sizes. Pure functions; any thread.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "base/json.h"

namespace crisp {

// Rows under a heading, in columns as wide as their widest cell.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) : rows_{std::move(heading)} {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // Control characters are replaced: names and labels come from strangers.
  std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// The first 13 digits of an id, without "sha256:".
std::string ShortId(std::string_view id);
// "12 seconds", "3 hours", "5 days" since then; "-" for 0. Nanoseconds since the epoch.
std::string Age(int64_t then, absl::Time now);
// RFC 3339 in UTC; "" for 0.
std::string TimeText(int64_t nanoseconds);
// "1.5 MiB".
std::string SizeText(uint64_t bytes);
// The text with control characters replaced by '?', for a terminal.
std::string Printable(std::string_view text);

// The message with the field names of the .proto and enum names; fields at their default are left
// out. Maps called "info" that hold JSON texts become JSON.
Json MessageJson(const google::protobuf::Message& message);
// Prints to stdout: indented JSON and a line end.
void PrintJson(const Json& value);
// The same list as JSON or as a table.
void PrintList(bool as_json, const Json& list, const Table& table);
void Print(std::string_view text);

}  // namespace crisp
