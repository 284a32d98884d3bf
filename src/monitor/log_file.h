// LogFile: one container's log file, to which whole lines are appended. A line that cannot be
// written (full disk, failing device) is dropped, never waited for: the container goes on. Trouble
// is reported once when it begins and once, with what was lost, when it ends; a line that was
// written in part is taken back, so that the file always consists of whole lines. One thread.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

class LogFile {
 public:
  // Opens the file for appending, made with mode 0640 and its folders with 0755. The last component
  // may be no symbolic link and nothing but a regular file. An empty path drops everything.
  static absl::StatusOr<LogFile> Open(const std::string& path);

  // The pieces of whole lines, each line ending with a newline at the end of a piece.
  void Write(std::span<const struct iovec> lines);

  // Opens the path anew, after someone has renamed the file. On an error the old file stays in use.
  absl::Status Reopen();

  const std::string& path() const { return path_; }
  uint64_t lost_bytes() const { return lost_bytes_; }

 private:
  LogFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  static absl::StatusOr<UniqueFd> OpenPath(const std::string& path);
  void Lose(uint64_t bytes, int error);
  void TakeBack(uint64_t bytes);

  std::string path_;
  UniqueFd fd_;
  bool failing_ = false;
  bool torn_ = false;        // the file ends in the middle of a line
  uint64_t lost_bytes_ = 0;  // since it began to fail
};

}  // namespace crisp
