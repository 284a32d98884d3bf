#include "monitor/log_line.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace crisp {
namespace {

constexpr char kNewline = '\n';
constexpr char kReturn = '\r';
// IOV_MAX, the most that one writev(2) takes.
constexpr size_t kMaxPieces = 1024;
// Below this, the buffer of an unfinished line is kept for the next one.
constexpr size_t kIdleCapacity = 256;

// Appends value with at least `digits` digits.
char* PutNumber(char* out, uint64_t value, int digits) {
  for (int i = digits - 1; i >= 0; --i, value /= 10) out[i] = static_cast<char>('0' + value % 10);
  return out + digits;
}

struct Date {
  int64_t year;
  unsigned month, day;
};

// The proleptic Gregorian date of a day counted from 1970-01-01 (Howard Hinnant's civil_from_days).
// gmtime_r would read /etc/localtime and keep its content in memory.
Date DateOfDay(int64_t day) {
  day += 719468;
  const int64_t era = (day >= 0 ? day : day - 146096) / 146097;
  const auto day_of_era = static_cast<unsigned>(day - era * 146097);
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const unsigned day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted_month = (5 * day_of_year + 2) / 153;
  Date date;
  date.day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  date.month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  date.year = static_cast<int64_t>(year_of_era) + era * 400 + (date.month <= 2 ? 1 : 0);
  return date;
}

}  // namespace

std::string LogTime(int64_t unix_nanos) {
  constexpr int64_t kNanosPerSecond = 1'000'000'000;
  constexpr int64_t kSecondsPerDay = 86400;
  unix_nanos = std::max<int64_t>(unix_nanos, 0);
  const int64_t seconds = unix_nanos / kNanosPerSecond;
  const int64_t second_of_day = seconds % kSecondsPerDay;
  const Date date = DateOfDay(seconds / kSecondsPerDay);
  char text[] = "0000-00-00T00:00:00.000000000Z";
  PutNumber(text, date.year, 4);
  PutNumber(text + 5, date.month, 2);
  PutNumber(text + 8, date.day, 2);
  PutNumber(text + 11, second_of_day / 3600, 2);
  PutNumber(text + 14, second_of_day / 60 % 60, 2);
  PutNumber(text + 17, second_of_day % 60, 2);
  PutNumber(text + 20, unix_nanos % kNanosPerSecond, 9);
  return std::string(text, sizeof text - 1);
}

// The pieces of some lines on their way into one writev. Points into the data that is being cut, so
// it must be flushed before that memory changes.
class LineCutter::Batch {
 public:
  Batch(std::string_view time, std::string_view stream, const WriteLines& write)
      : write_(write),
        full_(Cat(time, " ", stream, " F ")),
        partial_(Cat(time, " ", stream, " P ")) {}

  void AddFull(std::string_view kept, std::string_view content) { Add(full_, kept, content, "\n"); }
  // content includes the newline.
  void AddFullInPlace(std::string_view kept, std::string_view content) {
    Add(full_, kept, content, "");
  }
  void AddPartial(std::string_view kept, std::string_view content) {
    Add(partial_, kept, content, "\n");
  }

  void Flush() {
    if (used_ > 0) write_(std::span(pieces_.data(), used_));
    used_ = 0;
  }

 private:
  static constexpr size_t kPiecesPerLine = 4;

  void Add(std::string_view head, std::string_view kept, std::string_view content,
           std::string_view end) {
    if (used_ + kPiecesPerLine > kMaxPieces) Flush();
    for (const std::string_view piece : {head, kept, content, end}) {
      if (!piece.empty()) pieces_[used_++] = {const_cast<char*>(piece.data()), piece.size()};
    }
  }

  const WriteLines& write_;
  const std::string full_;
  const std::string partial_;
  size_t used_ = 0;
  std::array<struct iovec, kMaxPieces> pieces_;
};

LineCutter::LineCutter(std::string_view stream, size_t max_content, bool drops_return)
    : stream_(stream),
      max_content_(max_content > 0 ? max_content : kDefaultLogLineBytes),
      drops_return_(drops_return) {}

void LineCutter::Take(std::string_view data, std::string_view time, const WriteLines& write) {
  Batch batch(time, stream_, write);
  std::string_view kept = kept_;
  for (size_t newline; (newline = data.find(kNewline)) != std::string_view::npos;) {
    data = TakeLine(data, newline, batch, kept);
  }
  // What is left has no newline: only whole pieces of it go out, the last one waits.
  while (kept.size() + data.size() > max_content_) {
    const size_t room = max_content_ - kept.size();
    batch.AddPartial(kept, data.substr(0, room));
    data.remove_prefix(room);
    kept = {};
  }
  batch.Flush();
  if (kept.empty()) kept_.clear();
  kept_.append(data);
  if (kept_.empty() && kept_.capacity() > kIdleCapacity) kept_ = std::string();
}

// Adds the line that ends at `newline`, after what was kept of it; returns the data behind it.
std::string_view LineCutter::TakeLine(std::string_view data, size_t newline, Batch& batch,
                                      std::string_view& kept) const {
  const std::string_view behind = data.substr(newline + 1);
  std::string_view content = data.substr(0, newline);
  bool in_place = true;
  if (drops_return_) {
    std::string_view& end = content.empty() ? kept : content;
    if (!end.empty() && end.back() == kReturn) {
      end.remove_suffix(1);
      in_place = false;
    }
  }
  while (kept.size() + content.size() > max_content_) {
    const size_t room = max_content_ - kept.size();
    batch.AddPartial(kept, content.substr(0, room));
    content.remove_prefix(room);
    kept = {};
  }
  if (in_place) {
    batch.AddFullInPlace(kept, std::string_view(content.data(), content.size() + 1));
  } else {
    batch.AddFull(kept, content);
  }
  kept = {};
  return behind;
}

void LineCutter::Finish(std::string_view time, const WriteLines& write) {
  if (kept_.empty()) return;
  Batch batch(time, stream_, write);
  batch.AddPartial(kept_, {});
  batch.Flush();
  kept_ = std::string();
}

}  // namespace crisp
