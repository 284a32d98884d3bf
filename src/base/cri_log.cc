#include "base/cri_log.h"

namespace crisp {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr int64_t kSecondsPerDay = 86400;

// Takes exactly `digits` digits off the front, then the character `after` unless it is 0.
std::optional<int> TakeNumber(std::string_view& text, size_t digits, char after) {
  if (text.size() < digits + (after != 0 ? 1 : 0)) return std::nullopt;
  int value = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  if (after != 0 && text[digits] != after) return std::nullopt;
  text.remove_prefix(digits + (after != 0 ? 1 : 0));
  return value;
}

bool IsLeap(int year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

int DaysInMonth(int year, int month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && IsLeap(year) ? 29 : kDays[month - 1];
}

// Days from 1970-01-01 (Howard Hinnant's days_from_civil).
int64_t DayOfDate(int year, int month, int day) {
  if (month <= 2) --year;
  const int era = (year >= 0 ? year : year - 399) / 400;
  const int year_of_era = year - era * 400;
  const int day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return int64_t{era} * 146097 + day_of_era - 719468;
}

std::optional<int64_t> TakeFraction(std::string_view& text) {
  if (text.empty() || text.front() != '.') return 0;
  text.remove_prefix(1);
  int64_t nanos = 0, unit = kNanosPerSecond;
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
    if (unit > 1) nanos += (text[digits] - '0') * (unit /= 10);
    ++digits;
  }
  if (digits == 0) return std::nullopt;
  text.remove_prefix(digits);
  return nanos;
}

// Seconds east of UTC; takes all of text.
std::optional<int64_t> TakeZone(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  if (text.size() != 6 || (text.front() != '+' && text.front() != '-')) return std::nullopt;
  const int sign = text.front() == '+' ? 1 : -1;
  text.remove_prefix(1);
  const std::optional<int> hours = TakeNumber(text, 2, ':');
  const std::optional<int> minutes = TakeNumber(text, 2, 0);
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  return sign * (*hours * 3600 + *minutes * 60);
}

// The text up to the next space, which is taken, too.
std::optional<std::string_view> TakeWord(std::string_view& text) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view word = text.substr(0, space);
  text.remove_prefix(space + 1);
  return word;
}

}  // namespace

std::optional<int64_t> ParseRfc3339(std::string_view text) {
  const std::optional<int> year = TakeNumber(text, 4, '-');
  const std::optional<int> month = year ? TakeNumber(text, 2, '-') : std::nullopt;
  const std::optional<int> day = month ? TakeNumber(text, 2, 'T') : std::nullopt;
  const std::optional<int> hour = day ? TakeNumber(text, 2, ':') : std::nullopt;
  const std::optional<int> minute = hour ? TakeNumber(text, 2, ':') : std::nullopt;
  const std::optional<int> second = minute ? TakeNumber(text, 2, 0) : std::nullopt;
  if (!second || *month < 1 || *month > 12 || *day < 1 || *day > DaysInMonth(*year, *month) ||
      *hour > 23 || *minute > 59 || *second > 60) {
    return std::nullopt;
  }
  const std::optional<int64_t> nanos = TakeFraction(text);
  const std::optional<int64_t> zone = nanos ? TakeZone(text) : std::nullopt;
  if (!zone) return std::nullopt;
  const int64_t seconds = DayOfDate(*year, *month, *day) * kSecondsPerDay + *hour * 3600 +
                          *minute * 60 + *second - *zone;
  // Nanoseconds in 64 bits reach from 1677 to 2262.
  int64_t time;
  if (__builtin_mul_overflow(seconds, kNanosPerSecond, &time) ||
      __builtin_add_overflow(time, *nanos, &time)) {
    return std::nullopt;
  }
  return time;
}

std::optional<LogEntry> ParseLogLine(std::string_view line) {
  const std::optional<std::string_view> time_text = TakeWord(line);
  const std::optional<std::string_view> stream = time_text ? TakeWord(line) : std::nullopt;
  if (!stream) return std::nullopt;
  // Some writers leave out the space before an empty content.
  const size_t space = line.find(' ');
  const std::string_view tags = line.substr(0, space);
  const std::string_view tag = tags.substr(0, tags.find(':'));

  LogEntry entry;
  entry.content = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
  const std::optional<int64_t> time = ParseRfc3339(*time_text);
  if (!time || (*stream != "stdout" && *stream != "stderr") || (tag != "F" && tag != "P")) {
    return std::nullopt;
  }
  entry.time = *time;
  entry.stream = *stream == "stdout" ? LogEntry::Stream::kStdout : LogEntry::Stream::kStderr;
  entry.partial = tag == "P";
  return entry;
}

void CriLogReader::Feed(std::string_view data, const std::function<void(const LogEntry&)>& entry) {
  for (size_t newline; (newline = data.find('\n')) != std::string_view::npos;) {
    const std::string_view piece = data.substr(0, newline);
    data.remove_prefix(newline + 1);
    if (skipping_ || begun_.size() + piece.size() > kMaxLineBytes) {
      ++damaged_lines_;
    } else if (begun_.empty()) {
      TakeLine(piece, entry);
    } else {
      begun_.append(piece);
      TakeLine(begun_, entry);
    }
    begun_.clear();
    skipping_ = false;
  }
  if (!skipping_ && begun_.size() + data.size() <= kMaxLineBytes) {
    begun_.append(data);
  } else if (!data.empty()) {
    skipping_ = true;
    begun_ = std::string();
  }
}

void CriLogReader::TakeLine(std::string_view line,
                            const std::function<void(const LogEntry&)>& entry) {
  if (const std::optional<LogEntry> parsed = ParseLogLine(line)) {
    entry(*parsed);
  } else {
    ++damaged_lines_;
  }
}

}  // namespace crisp
