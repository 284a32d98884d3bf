// A pipe between the daemon and a process or a monitor; both ends blocking and close-on-exec. Any
// thread.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include "absl/status/statusor.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace crisp {

struct PipeEnds {
  UniqueFd read;
  UniqueFd write;
};

inline absl::StatusOr<PipeEnds> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("making a pipe");
  return PipeEnds{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace crisp
