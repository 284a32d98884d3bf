// OciCommand: one call of an OCI runtime's program: run, exec, kill or delete. Its descriptors 0 to
// 2 are the caller's; what it says goes to a log file in <bundle>/oci, from which errors get their
// words. Blocks for a bounded time: used in a launcher's helper process alone.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "launch/console_socket.h"
#include "launch/launcher.h"

namespace crisp {

class OciCommand {
 public:
  // `name` makes its files in <bundle>/oci: name.log, name.pid, ... They go with it.
  OciCommand(const RuntimeProgram& runtime, const std::string& bundle, std::string name);
  ~OciCommand();

  // A file of this command, absolute.
  std::string File(std::string_view ending) const;

  // Run kills the program, and fails, when that process ends. Borrowed.
  void EndWith(int pidfd) { end_with_ = pidfd; }

  // Runs `<path> <args> --root ... --log ... <words>` to its end. With a console, until it has
  // brought the terminal, too. DeadlineExceeded: it was killed after `patience`.
  absl::Status Run(const std::vector<std::string>& words, absl::Duration patience,
                   ConsoleSocket* console = nullptr);

 private:
  // The wait status; what is not its own failure is an error.
  absl::StatusOr<int> Await(pid_t pid, const std::string& verb, absl::Duration patience,
                            ConsoleSocket* console) const;
  absl::Status Failure(int wait_status) const;

  const RuntimeProgram& runtime_;
  const std::string folder_, name_;
  int end_with_ = -1;
};

}  // namespace crisp
