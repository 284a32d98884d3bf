#include "pod/dial_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/status.h"
#include "kernel/namespace.h"

namespace crisp {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr int kPollMillis = 100;

struct Sockets {
  UniqueFd v4, v6;  // invalid: the kernel has no such family
};

Sockets OpenSockets() {
  constexpr int kType = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  return {UniqueFd(socket(AF_INET, kType, 0)), UniqueFd(socket(AF_INET6, kType, 0))};
}

// A socket belongs for ever to the namespace that it was made in, so only that is done inside.
absl::StatusOr<Sockets> OpenSocketsIn(int netns_fd) {
  Sockets sockets;
  if (netns_fd < 0) {
    sockets = OpenSockets();
  } else {
    RETURN_IF_ERROR(InNamespace(netns_fd, [&sockets] {
      sockets = OpenSockets();
      return absl::OkStatus();
    }));
  }
  if (!sockets.v4.valid() && !sockets.v6.valid()) return ErrnoStatus("opening a socket");
  return sockets;
}

absl::Status Await(int socket, const Call& call) {
  while (true) {
    struct pollfd wait = {socket, POLLOUT, 0};
    if (poll(&wait, 1, kPollMillis) > 0) break;
    RETURN_IF_ERROR(call.Check());
  }
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  return error == 0 ? absl::OkStatus() : Errno(error, "connect");
}

template <typename Address>
absl::Status Connect(const UniqueFd& socket, const Address& address, const Call& call) {
  if (!socket.valid()) return absl::UnavailableError("the kernel has no such addresses");
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return absl::OkStatus();
  }
  if (errno != EINPROGRESS) return ErrnoStatus("connect");
  return Await(socket.get(), call);
}

}  // namespace

absl::StatusOr<UniqueFd> DialLocalhost(int netns_fd, uint16_t port, const Call& caller) {
  const Call call = caller.Within(kPatience);
  ASSIGN_OR_RETURN(Sockets sockets, OpenSocketsIn(netns_fd));
  sockaddr_in v4 = {};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const absl::Status first = Connect(sockets.v4, v4, call);
  UniqueFd connected;
  if (first.ok()) {
    connected = std::move(sockets.v4);
  } else {
    RETURN_IF_ERROR(caller.Check());
    sockaddr_in6 v6 = {};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    v6.sin6_addr = in6addr_loopback;
    if (!Connect(sockets.v6, v6, caller.Within(kPatience)).ok()) {
      return absl::UnavailableError(
          Cat("nothing answers at port ", port, " of its localhost: ", FromAbsl(first.message())));
    }
    connected = std::move(sockets.v6);
  }
  // What a client types goes out at once.
  const int on = 1;
  (void)setsockopt(connected.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return connected;
}

}  // namespace crisp
