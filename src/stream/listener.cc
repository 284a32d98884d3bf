#include "stream/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "base/status.h"

namespace crisp {
namespace {

constexpr int kBacklog = 256;

struct Address {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

absl::StatusOr<Address> ParseAddress(const std::string& text, uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof *v6;
  } else {
    return absl::InvalidArgumentError(
        Cat("the streaming server's address \"", text, "\" is neither IPv4 nor IPv6"));
  }
  return address;
}

// The host of the URLs: the address itself, or loopback where it is a wildcard.
std::string UrlHost(const Address& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.storage.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
    if (v4->sin_addr.s_addr == htonl(INADDR_ANY)) return "127.0.0.1";
    return ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
  if (IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)) return "[::1]";
  return Cat("[", ::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text), "]");
}

}  // namespace

absl::StatusOr<Listener> Listen(const std::string& address_text, uint16_t port) {
  ASSIGN_OR_RETURN(Address address, ParseAddress(address_text, port));
  const int family = address.storage.ss_family;
  Listener listener;
  listener.fd.reset(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.fd.valid()) return ErrnoStatus("make the streaming server's socket");
  const int on = 1;
  ::setsockopt(listener.fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  auto* generic = reinterpret_cast<sockaddr*>(&address.storage);
  if (::bind(listener.fd.get(), generic, address.size) != 0 ||
      ::listen(listener.fd.get(), kBacklog) != 0) {
    return ErrnoStatus("listen for streaming on ", address_text, " port ", port);
  }
  if (::getsockname(listener.fd.get(), generic, &address.size) != 0)
    return ErrnoStatus("find the streaming server's port");
  const uint16_t bound =
      ntohs(family == AF_INET ? reinterpret_cast<sockaddr_in*>(generic)->sin_port
                              : reinterpret_cast<sockaddr_in6*>(generic)->sin6_port);
  listener.host_and_port = Cat(UrlHost(address), ":", bound);
  return listener;
}

}  // namespace crisp
