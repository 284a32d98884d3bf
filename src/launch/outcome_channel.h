// OutcomeChannel: the child's end of a launch. It tells the caller what it is about to do, hands
// over the terminal, or says why there will be no program. It is close-on-exec: that the other end
// sees its end after "ready" is how success looks. Used in the forked child alone.
#pragma once

#include "absl/status/status.h"
#include "base/unique_fd.h"

namespace crisp {

class OutcomeChannel {
 public:
  explicit OutcomeChannel(UniqueFd socket) : socket_(std::move(socket)) {}

  absl::Status SendTerminal(int controller);
  // The next thing is execve.
  absl::Status SendReady();
  void SendFailure(const absl::Status& status);

 private:
  UniqueFd socket_;
};

}  // namespace crisp
