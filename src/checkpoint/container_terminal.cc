#include "checkpoint/container_terminal.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/status.h"
#include "kernel/rooted_path.h"

namespace crisp {
namespace {

absl::StatusOr<TerminalNumbers> NumbersOf(const struct stat& about) {
  if (!S_ISCHR(about.st_mode)) return absl::InvalidArgumentError("it is no device");
  return NumbersOfTerminal(about.st_rdev, about.st_dev);
}

}  // namespace

absl::StatusOr<TerminalNumbers> TerminalOf(pid_t pid) {
  struct stat about = {};
  ASSIGN_OR_RETURN(const UniqueFd root,
                   OpenFile(Cat("/proc/", pid, "/root"), O_PATH | O_DIRECTORY));
  const absl::StatusOr<UniqueFd> console =
      OpenInRootNoLinks(root.get(), "/dev/console", O_PATH | O_NOFOLLOW);
  if (console.ok() && fstat(console->get(), &about) == 0) {
    if (absl::StatusOr<TerminalNumbers> found = NumbersOf(about); found.ok()) return found;
  }
  for (int fd = 0; fd < 3; ++fd) {
    if (stat(Cat("/proc/", pid, "/fd/", fd).c_str(), &about) != 0) continue;
    if (absl::StatusOr<TerminalNumbers> found = NumbersOf(about); found.ok()) return found;
  }
  return absl::FailedPreconditionError(
      "it was started with a terminal, which is not to be found any more: neither /dev/console "
      "nor stdin, stdout or stderr of its first process is one");
}

bool HasTerminal(const Json& config) {
  const Json* process = JsonMember(config, "process");
  return process != nullptr && JsonBool(*process, "terminal");
}

}  // namespace crisp
