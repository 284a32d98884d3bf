#include "monitor/monitor_log.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"

namespace crisp {
namespace {

// What a pipe takes whole whenever poll() calls it writable.
constexpr size_t kAtomicBytes = 4096;
constexpr size_t kShortIdLength = 13;

// Part of the process's identity like its argv, set once by main().
char report_name[kShortIdLength + 1] = "";

}  // namespace

void SetReportName(std::string_view pod_id) {
  const size_t length = std::min(pod_id.size(), kShortIdLength);
  std::copy_n(pod_id.data(), length, report_name);
  report_name[length] = '\0';
}

void Report(std::string_view text) {
  const int error = errno;
  std::string line = Cat("crisp-monitor ", std::string_view(report_name), ": ", text);
  if (line.size() >= kAtomicBytes) line.resize(kAtomicBytes - 1);
  std::replace(line.begin(), line.end(), '\n', ' ');
  line += '\n';
  struct pollfd ready = {STDERR_FILENO, POLLOUT, 0};
  if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0) {
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
  }
  errno = error;
}

}  // namespace crisp
