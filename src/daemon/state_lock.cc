#include "daemon/state_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include "base/file.h"
#include "base/status.h"

namespace crisp {

absl::StatusOr<StateLock> StateLock::Take(const std::string& folder) {
  const std::string path = JoinPath(folder, "crispd.lock");
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus("lock ", path);
    const auto holder = ReadFd(fd.get(), path, 64);
    return absl::FailedPreconditionError(
        Cat("another crispd (process ", holder.ok() ? Trim(*holder) : "unknown", ") works on ",
            folder, "; stop it, or give this one other folders with --root, --state and --listen"));
  }
  const std::string pid = Cat(::getpid(), "\n");
  if (::ftruncate(fd.get(), 0) != 0) return ErrnoStatus("truncate ", path);
  RETURN_IF_ERROR(WriteAll(fd.get(), pid, path));
  return StateLock(std::move(fd));
}

}  // namespace crisp
