#include "daemon/notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/status.h"
#include "base/unique_fd.h"

namespace crisp {

absl::Status NotifyServiceManager(std::string_view state) {
  const char* name = ::getenv("NOTIFY_SOCKET");
  if (name == nullptr || *name == 0) return absl::OkStatus();
  sockaddr_un address = {.sun_family = AF_UNIX};
  const size_t length = std::strlen(name);
  if (length >= sizeof(address.sun_path) || (name[0] != '/' && name[0] != '@')) {
    return absl::InvalidArgumentError(Cat("NOTIFY_SOCKET \"", name, "\" is no socket's path"));
  }
  std::memcpy(address.sun_path, name, length);
  if (name[0] == '@') address.sun_path[0] = 0;  // the abstract namespace
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus("make a socket for NOTIFY_SOCKET");
  const socklen_t size = offsetof(sockaddr_un, sun_path) + length;
  const ssize_t sent = ::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                                reinterpret_cast<sockaddr*>(&address), size);
  if (sent < 0) return ErrnoStatus("notify the service manager at ", name);
  return absl::OkStatus();
}

}  // namespace crisp
