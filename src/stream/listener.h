// The listening socket of the streaming server, and the URL by which clients reach it. Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

struct Listener {
  UniqueFd fd;
  std::string host_and_port;  // for URLs: "127.0.0.1:41234", "[::1]:41234"
};

// Listens on address (numeric, IPv4 or IPv6), port 0 being any free one. InvalidArgument for
// another address; an occupied port or an address that the node lacks is named in the error.
absl::StatusOr<Listener> Listen(const std::string& address, uint16_t port);

}  // namespace crisp
