// Fuzzes the writer and the reader of CRI logs against each other: whatever a container writes, in
// whatever pieces, comes out of the reader again; and the reader survives any bytes.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/cri_log.h"
#include "monitor/log_line.h"

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

// Input: one byte line limit, one byte size of the pieces, then the output.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  crisp::CriLogReader any;
  any.Feed(text, [](const crisp::LogEntry& entry) { Check(entry.content.size() <= 1 << 20); });
  if (size < 2) return 0;
  const size_t limit = size_t{data[0]} + 1;
  const size_t step = size_t{data[1]} + 1;
  text.remove_prefix(2);

  crisp::LineCutter cutter("stdout", limit, false);
  crisp::CriLogReader reader;
  std::string joined;
  const crisp::WriteLines write = [&](std::span<const struct iovec> pieces) {
    std::string lines;
    for (const struct iovec& piece : pieces) {
      lines.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    }
    Check(!lines.empty() && lines.back() == '\n');
    reader.Feed(lines, [&](const crisp::LogEntry& entry) {
      Check(entry.content.size() <= limit);
      joined += entry.content;
      if (!entry.partial) joined += '\n';
    });
  };
  const std::string time = crisp::LogTime(1700000000123456789);
  for (size_t at = 0; at < text.size(); at += step) {
    cutter.Take(text.substr(at, step), time, write);
    Check(cutter.kept_bytes() <= limit);
  }
  cutter.Finish(time, write);
  Check(reader.damaged_lines() == 0);
  Check(joined == text);

  crisp::LineCutter terminal("stdout", limit, true);
  terminal.Take(text, time, [](std::span<const struct iovec>) {});
  terminal.Finish(time, [](std::span<const struct iovec>) {});
  return 0;
}
