#include "monitor/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "monitor/monitor_log.h"

namespace crisp {
namespace {

constexpr mode_t kLogMode = 0640;
constexpr mode_t kFolderMode = 0755;

uint64_t BytesOf(std::span<const struct iovec> pieces) {
  uint64_t bytes = 0;
  for (const struct iovec& piece : pieces) bytes += piece.iov_len;
  return bytes;
}

// How many of the first `written` bytes belong to a line that is not whole among them.
uint64_t TornBytes(std::span<const struct iovec> pieces, uint64_t written) {
  uint64_t position = 0, line_start = 0;
  for (const struct iovec& piece : pieces) {
    position += piece.iov_len;
    if (position > written) break;
    if (piece.iov_len > 0 && static_cast<const char*>(piece.iov_base)[piece.iov_len - 1] == '\n') {
      line_start = position;
    }
  }
  return written - line_start;
}

// The pieces behind the first `skip` bytes.
std::vector<struct iovec> PiecesBehind(std::span<const struct iovec> pieces, uint64_t skip) {
  std::vector<struct iovec> behind;
  for (struct iovec piece : pieces) {
    const uint64_t cut = std::min<uint64_t>(skip, piece.iov_len);
    skip -= cut;
    piece.iov_base = static_cast<char*>(piece.iov_base) + cut;
    piece.iov_len -= cut;
    if (piece.iov_len > 0) behind.push_back(piece);
  }
  return behind;
}

}  // namespace

absl::StatusOr<LogFile> LogFile::Open(const std::string& path) {
  if (path.empty()) return LogFile(path, UniqueFd());
  if (path.front() != '/' || path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(Cat("the log path ", path, " is not absolute"));
  }
  ASSIGN_OR_RETURN(UniqueFd fd, OpenPath(path));
  return LogFile(path, std::move(fd));
}

absl::StatusOr<UniqueFd> LogFile::OpenPath(const std::string& path) {
  // O_NONBLOCK: if it is a pipe without a reader, open fails instead of waiting. It has no effect
  // on a regular file.
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
  absl::StatusOr<UniqueFd> fd = OpenFile(path, kFlags, kLogMode);
  if (absl::IsNotFound(fd.status())) {
    RETURN_IF_ERROR(Annotate(MakeFolders(FolderOf(path), kFolderMode), "make the log's folder"));
    fd = OpenFile(path, kFlags, kLogMode);
  }
  if (!fd.ok()) return Annotate(fd.status(), "open the log");
  struct stat info;
  if (fstat(fd->get(), &info) != 0) return ErrnoStatus("stat the log ", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(Cat("the log ", path, " exists and is no regular file"));
  }
  return fd;
}

absl::Status LogFile::Reopen() {
  if (path_.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(UniqueFd fd, OpenPath(path_));
  fd_ = std::move(fd);
  torn_ = false;
  return absl::OkStatus();
}

void LogFile::Write(std::span<const struct iovec> lines) {
  if (!fd_.valid()) return;
  const uint64_t total = BytesOf(lines);
  if (torn_) {
    // The file's last line could be neither finished nor taken back: end it first.
    if (write(fd_.get(), "\n", 1) != 1) return Lose(total, errno);
    torn_ = false;
  }
  uint64_t written = 0;
  std::span<const struct iovec> left = lines;
  std::vector<struct iovec> behind;
  while (written < total) {
    const ssize_t count = writev(fd_.get(), left.data(), static_cast<int>(left.size()));
    if (count < 0) {
      if (errno == EINTR) continue;
      const int error = errno;
      const uint64_t torn = TornBytes(lines, written);
      TakeBack(torn);
      return Lose(total - written + torn, error);
    }
    written += count;
    if (written < total) {
      behind = PiecesBehind(lines, written);
      left = behind;
    }
  }
  if (failing_) {
    Report(Cat("the log ", path_, " can be written again; ", lost_bytes_, " bytes were lost"));
    failing_ = false;
    lost_bytes_ = 0;
  }
}

void LogFile::TakeBack(uint64_t bytes) {
  if (bytes == 0) return;
  // After an append the position is the end of what was appended.
  const off_t end = lseek(fd_.get(), 0, SEEK_CUR);
  torn_ = end < static_cast<off_t>(bytes) || ftruncate(fd_.get(), end - bytes) != 0;
}

void LogFile::Lose(uint64_t bytes, int error) {
  lost_bytes_ += bytes;
  if (failing_) return;
  failing_ = true;
  Report(Cat("write the log ", path_, ": ", strerror(error),
             "; output is dropped until it can be written again"));
}

}  // namespace crisp
