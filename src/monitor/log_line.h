// LineCutter: cuts one output stream of a container into the lines of a CRI log file:
//   <RFC 3339 time with nanoseconds> <stdout|stderr> <P|F> <content>\n
// A line with at most max_content bytes is one F; a longer one is P pieces and an F. The unfinished
// end of a stream is kept here (at most max_content bytes) until its newline comes; Finish() writes
// it as P. The format: docs/monitor-protocol.md. One thread.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace crisp {

inline constexpr size_t kDefaultLogLineBytes = 16384;

// Takes whole lines; every line's last byte, a newline, is the last byte of its last piece, and no
// other piece ends with a newline. The memory is valid during the call alone.
using WriteLines = std::function<void(std::span<const struct iovec>)>;

// "2006-01-02T15:04:05.000000000Z", always 30 bytes for the years 0 to 9999.
std::string LogTime(int64_t unix_nanos);

class LineCutter {
 public:
  // stream: "stdout" or "stderr". drops_return: a carriage return before the newline, which the
  // kernel's terminal has put there, is left out.
  LineCutter(std::string_view stream, size_t max_content, bool drops_return);

  // Cuts what was read; `time` is LogTime() of the moment. Calls write as seldom as the limit on
  // pieces of writev(2) allows: once for a usual read, not at all if no line was completed.
  void Take(std::string_view data, std::string_view time, const WriteLines& write);
  // Writes what is unfinished as P. The stream may go on afterwards.
  void Finish(std::string_view time, const WriteLines& write);

  size_t kept_bytes() const { return kept_.size(); }

 private:
  class Batch;

  std::string_view TakeLine(std::string_view data, size_t newline, Batch& batch,
                            std::string_view& kept) const;

  const std::string stream_;
  const size_t max_content_;
  const bool drops_return_;
  std::string kept_;
};

}  // namespace crisp
