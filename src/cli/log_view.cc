#include "cli/log_view.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/output.h"

namespace crisp {

absl::Status LogView::ShowExisting() {
  ASSIGN_OR_RETURN(file_, OpenFile(path_, O_RDONLY));
  holding_ = options_.tail >= 0;
  ASSIGN_OR_RETURN(bool more, ReadOn());
  (void)more;
  holding_ = false;
  for (const Piece& piece : held_) sink_(piece.stream, piece.text);
  held_.clear();
  return absl::OkStatus();
}

absl::StatusOr<bool> LogView::ShowMore() {
  ASSIGN_OR_RETURN(const bool more, ReadOn());
  if (more || !Rotated()) return more;
  // The old file has been read to its end and gets no more lines.
  auto next = OpenFile(path_, O_RDONLY);
  if (!next.ok()) return false;
  file_ = *std::move(next);
  reader_ = CriLogReader();
  return ReadOn();
}

absl::StatusOr<bool> LogView::ReadOn() {
  char buffer[64 << 10];
  bool any = false;
  while (true) {
    const ssize_t n = ::read(file_.get(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("read log ", path_);
    if (n == 0) return any;
    any = true;
    reader_.Feed({buffer, static_cast<size_t>(n)}, [this](const LogEntry& entry) { Take(entry); });
  }
}

bool LogView::Rotated() const {
  struct stat open_file, at_path;
  if (::fstat(file_.get(), &open_file) != 0 || ::stat(path_.c_str(), &at_path) != 0) return false;
  return open_file.st_ino != at_path.st_ino || open_file.st_dev != at_path.st_dev;
}

void LogView::Take(const LogEntry& entry) {
  if (entry.time < options_.since) return;
  std::string text = Format(entry);
  line_begun_[static_cast<int>(entry.stream)] = entry.partial;
  if (!holding_) {
    sink_(entry.stream, text);
    return;
  }
  held_.push_back({entry.stream, std::move(text), !entry.partial});
  held_lines_ += !entry.partial;
  while (!held_.empty() && held_lines_ > options_.tail) {
    held_lines_ -= held_.front().ends_line;
    held_.pop_front();
  }
}

std::string LogView::Format(const LogEntry& entry) const {
  const bool out = entry.stream == LogEntry::Stream::kStdout;
  if (options_.json) {
    return JsonText({{"time", TimeText(entry.time)},
                     {"stream", out ? "stdout" : "stderr"},
                     {"partial", entry.partial},
                     {"log", std::string(entry.content)}}) +
           "\n";
  }
  std::string text;
  if (options_.timestamps && !line_begun_[static_cast<int>(entry.stream)])
    text = TimeText(entry.time) + " ";
  text += entry.content;
  if (!entry.partial) text += '\n';
  return text;
}

absl::StatusOr<int64_t> ParseSince(const std::string& text) {
  absl::Duration ago;
  if (absl::ParseDuration(text, &ago) && ago >= absl::ZeroDuration())
    return absl::ToUnixNanos(absl::Now() - ago);
  if (const auto time = ParseRfc3339(text)) return *time;
  return absl::InvalidArgumentError(
      Cat("\"", text,
          "\" is no time; write how long ago (90s, 10m, 2h30m) or a time like "
          "2026-01-31T12:00:00Z"));
}

}  // namespace crisp
