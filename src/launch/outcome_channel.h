// OutcomeChannel: the child's end of a launch. It tells the caller what it is about to do, hands
// over the terminal, or says why there will be no program. It is close-on-exec: that the other end
// sees its end after "ready" is how success looks. Used in the forked child alone.
#pragma once

#include <sys/types.h>

#include "absl/status/status.h"
#include "base/unique_fd.h"

namespace crisp {

class OutcomeChannel {
 public:
  explicit OutcomeChannel(UniqueFd socket) : socket_(std::move(socket)) {}

  absl::Status SendTerminal(int controller);
  // The next thing is execve.
  absl::Status SendReady();
  // The program runs as another process, a child of the caller's. AwaitRelease returns once the
  // other end watches it, or has gone.
  absl::Status SendProcess(pid_t pid, int pidfd, pid_t inner);
  void AwaitRelease() const;
  void SendFailure(const absl::Status& status);
  // The socket, which the caller owns from now on.
  int Release() { return socket_.release(); }

 private:
  UniqueFd socket_;
};

}  // namespace crisp
