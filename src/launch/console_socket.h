// ConsoleSocket: where an OCI runtime hands over a terminal (--console-socket): it connects and
// sends the controlling end as SCM_RIGHTS. Used in a launcher's helper process alone, whose working
// directory is the bundle: the path is relative and short, because a socket's address is.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

class ConsoleSocket {
 public:
  static absl::StatusOr<ConsoleSocket> Listen(const std::string& relative_path);
  ConsoleSocket(ConsoleSocket&&) = default;
  ConsoleSocket& operator=(ConsoleSocket&&) = default;
  ~ConsoleSocket();

  // Readable when the runtime connects, or has sent something.
  int fd() const { return connection_.valid() ? connection_.get() : listener_.get(); }
  // Serves fd(); never blocks. Afterwards terminal() may be there.
  absl::Status Serve();
  bool has_terminal() const { return terminal_.valid(); }
  UniqueFd TakeTerminal() { return std::move(terminal_); }

 private:
  ConsoleSocket(std::string path, UniqueFd listener)
      : path_(std::move(path)), listener_(std::move(listener)) {}

  std::string path_;
  UniqueFd listener_, connection_, terminal_;
};

}  // namespace crisp
