#include "cli/output.h"

#include <google/protobuf/util/json_util.h>

#include <cstdio>

#include "base/text.h"

namespace crisp {
namespace {

// Columns on a terminal: every byte but the later ones of a UTF-8 sequence.
size_t Width(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

std::string Count(int64_t number, const char* unit) {
  return Cat(number, " ", unit, number == 1 ? "" : "s");
}

}  // namespace

std::string Table::Text() const {
  std::vector<size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i)
      widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      line += Printable(row[i]);
      line.append(widths[i] - Width(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string ShortId(std::string_view id) {
  constexpr std::string_view kAlgorithm = "sha256:";
  if (id.starts_with(kAlgorithm)) id.remove_prefix(kAlgorithm.size());
  return std::string(id.substr(0, 13));
}

std::string Age(int64_t then, absl::Time now) {
  if (then == 0) return "-";
  const int64_t seconds =
      std::max<int64_t>(absl::ToInt64Seconds(now - absl::FromUnixNanos(then)), 0);
  if (seconds < 120) return Count(seconds, "second");
  if (seconds < 2 * 3600) return Count(seconds / 60, "minute");
  if (seconds < 2 * 86400) return Count(seconds / 3600, "hour");
  return Count(seconds / 86400, "day");
}

std::string TimeText(int64_t nanoseconds) {
  if (nanoseconds == 0) return "";
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E9SZ", absl::FromUnixNanos(nanoseconds),
                          absl::UTCTimeZone());
}

std::string SizeText(uint64_t bytes) {
  if (bytes < 1024) return Cat(bytes, " B");
  const char* const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1023.95 && unit + 1 < std::size(units); ++unit) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f %s", value, units[unit]);
  return text;
}

std::string Printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

Json MessageJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return Json();
  auto json = ParseJson(text, "answer");
  if (!json.ok()) return Json();
  if (json->contains("info") && (*json)["info"].is_object()) {
    for (auto& [key, value] : (*json)["info"].items()) {
      if (!value.is_string()) continue;
      if (auto inner = ParseJson(value.get<std::string>(), key); inner.ok()) value = *inner;
    }
  }
  return *json;
}

void PrintJson(const Json& value) {
  Print(value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void PrintList(bool as_json, const Json& list, const Table& table) {
  if (as_json) {
    PrintJson(list);
  } else {
    Print(table.Text());
  }
}

void Print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace crisp
