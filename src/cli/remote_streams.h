// The two kinds of sessions at the streaming server: this program's own stdin, stdout and stderr as
// those of a command or container, and a socket as the other end of a port of a pod.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "cli/client.h"
#include "cli/stream_flags.h"

namespace crisp {

// Where a session is to be had. An https:// URL comes with the SHA-256 (hex) of the certificate
// that the server there must show.
struct StreamAddress {
  std::string url;
  std::string certificate;
};

// Adds what the daemon says, over its own socket, of the certificate of its streaming server.
absl::StatusOr<StreamAddress> AskAddress(Client& client, const std::string& url);

// Until the other side ends: returns its exit code (0 of an attachment), or 128 + n when this
// program was told to end by signal n. With a terminal, ours is in raw mode meanwhile and its size
// is passed on. Main thread.
absl::StatusOr<int> RunRemote(const StreamAddress& address, const StreamFlags& flags);

// Until either side ends. Any thread.
absl::Status ForwardSocket(const StreamAddress& address, UniqueFd socket);

// The exit code in the metav1.Status that ends a session; its message as an error if it tells of
// none.
absl::StatusOr<int> ExitCodeIn(std::string_view status);

}  // namespace crisp
