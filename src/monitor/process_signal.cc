#include "monitor/process_signal.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "base/status.h"

namespace crisp {

absl::Status SignalProcess(int pidfd, int signal) {
  if (syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return absl::OkStatus();
  if (errno == ESRCH) return absl::NotFoundError("the process has ended");
  return ErrnoStatus("send signal ", signal);
}

}  // namespace crisp
