// LogView: shows a container's log file (CRI format), as `crisp logs` and `crisp run --follow` need
// it: the last lines, since a time, following the file through rotation. The log is read where it
// lies, without the daemon. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "base/cri_log.h"
#include "base/unique_fd.h"

namespace crisp {

struct LogOptions {
  int64_t tail = -1;  // only so many last lines of what is there at the start; negative: all
  int64_t since = 0;  // only entries from this time on, in nanoseconds since the epoch
  bool timestamps = false;
  bool json = false;  // one object a line
};

class LogView {
 public:
  using Sink = std::function<void(LogEntry::Stream stream, std::string_view text)>;

  LogView(std::string path, LogOptions options, Sink sink)
      : path_(std::move(path)), options_(options), sink_(std::move(sink)) {}

  // Shows what is there. NotFound if there is no file.
  absl::Status ShowExisting();
  // Shows what has come since, also in the file that took its place after a rotation. False if
  // nothing came.
  absl::StatusOr<bool> ShowMore();

 private:
  struct Piece {
    LogEntry::Stream stream;
    std::string text;
    bool ends_line;
  };
  absl::StatusOr<bool> ReadOn();
  bool Rotated() const;
  void Take(const LogEntry& entry);
  std::string Format(const LogEntry& entry) const;

  const std::string path_;
  const LogOptions options_;
  const Sink sink_;
  UniqueFd file_;
  CriLogReader reader_;
  bool holding_ = false;  // the tail, until the end of the file is seen
  std::deque<Piece> held_;
  int64_t held_lines_ = 0;
  bool line_begun_[2] = {false, false};
};

// "10m", "2h30m", "45s" before now, or an RFC 3339 time; nanoseconds since the epoch.
absl::StatusOr<int64_t> ParseSince(const std::string& text);

}  // namespace crisp
