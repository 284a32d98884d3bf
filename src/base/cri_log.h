// CriLogReader: reads container log files in the CRI format
//   <RFC 3339 time with nanoseconds> <stdout|stderr> <tags> <content>\n
// as crisp-monitor and other runtimes write them. Feed it bytes as they come; it gives entries and
// passes over damaged lines. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace crisp {

struct LogEntry {
  enum class Stream { kStdout, kStderr };

  int64_t time = 0;  // Unix time in nanoseconds
  Stream stream = Stream::kStdout;
  bool partial = false;  // the line goes on in the next entry of this stream
  std::string_view content;
};

// One line without its newline; nothing if it is no log line. The content points into `line`. Tags
// after the first, separated by colons, are ignored, as the format asks of readers.
std::optional<LogEntry> ParseLogLine(std::string_view line);

// Nanoseconds since 1970 of an RFC 3339 time: up to 9 digits of a fraction, "Z" or a numeric zone.
std::optional<int64_t> ParseRfc3339(std::string_view text);

class CriLogReader {
 public:
  // A longer line is no log line: writers cut at 16 KiB, some at more.
  static constexpr size_t kMaxLineBytes = 1 << 20;

  // Calls `entry` for every line that is complete by now. Bytes after the last newline wait for
  // more.
  void Feed(std::string_view data, const std::function<void(const LogEntry&)>& entry);

  // Lines that could not be understood so far.
  uint64_t damaged_lines() const { return damaged_lines_; }

 private:
  void TakeLine(std::string_view line, const std::function<void(const LogEntry&)>& entry);

  std::string begun_;
  bool skipping_ = false;  // in a line that is too long
  uint64_t damaged_lines_ = 0;
};

}  // namespace crisp
