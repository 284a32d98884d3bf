#include "monitor/attach_request.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/status.h"

namespace crisp {
namespace {

// A pipe's reading end (O_RDONLY) or writing end (O_WRONLY): what else could come would make the
// monitor wait, or end up in some file.
absl::Status CheckPipe(int fd, int mode, std::string_view name) {
  struct stat info;
  if (fstat(fd, &info) == 0 && S_ISFIFO(info.st_mode) && (fcntl(fd, F_GETFL) & O_ACCMODE) == mode) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(Cat("the descriptor for ", name, " is no end of a pipe to ",
                                        mode == O_RDONLY ? "read from" : "write to"));
}

}  // namespace

absl::StatusOr<AttachFanout::Client> AttachClient(const monitor::Attach& request,
                                                  std::vector<UniqueFd> descriptors) {
  const size_t expected =
      size_t{request.has_stdin()} + size_t{request.has_stdout()} + size_t{request.has_stderr()};
  if (expected == 0 || descriptors.size() != expected) {
    return absl::InvalidArgumentError(
        Cat("attachment ", request.attach_id(), " to container ", request.container_id(), " names ",
            expected, " descriptors, and ", descriptors.size(), " came with it"));
  }
  AttachFanout::Client client;
  client.id = request.attach_id();
  auto next = descriptors.begin();
  if (request.has_stdin()) {
    RETURN_IF_ERROR(CheckPipe(next->get(), O_RDONLY, "stdin"));
    client.in = std::move(*next++);
  }
  if (request.has_stdout()) {
    RETURN_IF_ERROR(CheckPipe(next->get(), O_WRONLY, "stdout"));
    client.out = std::move(*next++);
  }
  if (request.has_stderr()) {
    RETURN_IF_ERROR(CheckPipe(next->get(), O_WRONLY, "stderr"));
    client.err = std::move(*next++);
  }
  return client;
}

}  // namespace crisp
