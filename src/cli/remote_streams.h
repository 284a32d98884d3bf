// The two kinds of sessions at the streaming server: this program's own stdin, stdout and stderr as
// those of a command or container, and a socket as the other end of a port of a pod.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

struct RemoteStreams {
  bool in = false;
  bool out = true;
  bool err = true;
  bool terminal = false;
};

// Until the other side ends: returns its exit code (0 of an attachment), or 128 + n when this
// program was told to end by signal n. With a terminal, ours is in raw mode meanwhile and its size
// is passed on. Main thread.
absl::StatusOr<int> RunRemote(const std::string& url, const RemoteStreams& streams);

// Until either side ends. Any thread.
absl::Status ForwardSocket(const std::string& url, UniqueFd socket);

// The exit code in the metav1.Status that ends a session; its message as an error if it tells of
// none.
absl::StatusOr<int> ExitCodeIn(std::string_view status);

}  // namespace crisp
