#include "launch/console_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "base/status.h"
#include "kernel/packet_socket.h"

namespace crisp {
namespace {

// The descriptor that comes with some bytes (a name, which nobody needs); invalid if none does. A
// runtime's socket is a stream, so this is no packet. Unavailable: nothing is there yet.
absl::StatusOr<UniqueFd> ReceiveDescriptor(int socket) {
  char name[256];
  struct iovec bytes = {name, sizeof name};
  alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  struct msghdr message = {};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t length;
  do {
    length = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (length < 0 && errno == EINTR);
  if (length < 0 && errno == EAGAIN) return absl::UnavailableError("nothing is there yet");
  if (length < 0) return ErrnoStatus("receiving the terminal from the runtime");
  const struct cmsghdr* const head = CMSG_FIRSTHDR(&message);
  UniqueFd fd;
  if (head != nullptr && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
      head->cmsg_len == CMSG_LEN(sizeof(int))) {
    int number;
    std::memcpy(&number, CMSG_DATA(head), sizeof number);
    fd.reset(number);
  }
  return fd;
}

}  // namespace

absl::StatusOr<ConsoleSocket> ConsoleSocket::Listen(const std::string& relative_path) {
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (relative_path.size() >= sizeof address.sun_path) {
    return absl::InternalError(Cat("the console socket's path ", relative_path, " is too long"));
  }
  std::memcpy(address.sun_path, relative_path.data(), relative_path.size());
  RETURN_IF_ERROR(RemoveFile(relative_path));
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.valid()) return ErrnoStatus("socket");
  if (::fchmod(listener.get(), 0600) != 0) return ErrnoStatus("chmod the console socket");
  if (::bind(listener.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address) !=
      0) {
    return ErrnoStatus("bind the console socket ", relative_path);
  }
  if (::listen(listener.get(), 1) != 0) return ErrnoStatus("listen at the console socket");
  return ConsoleSocket(relative_path, std::move(listener));
}

ConsoleSocket::~ConsoleSocket() {
  if (listener_.valid()) (void)RemoveFile(path_);
}

absl::Status ConsoleSocket::Serve() {
  if (!connection_.valid()) {
    absl::StatusOr<UniqueFd> accepted = AcceptPackets(listener_.get());
    if (absl::IsUnavailable(accepted.status())) return absl::OkStatus();
    RETURN_IF_ERROR(accepted.status());
    connection_ = *std::move(accepted);
  }
  absl::StatusOr<UniqueFd> sent = ReceiveDescriptor(connection_.get());
  if (absl::IsUnavailable(sent.status())) return absl::OkStatus();
  RETURN_IF_ERROR(sent.status());
  if (!sent->valid() || ::isatty(sent->get()) == 0) {
    return absl::InternalError("the runtime sent no terminal over the console socket");
  }
  terminal_ = *std::move(sent);
  return absl::OkStatus();
}

}  // namespace crisp
