#include "kernel/packet_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

// Room for several of the largest packets, so that a burst does not look like a stalled peer.
constexpr int kSendBufferBytes = 4 * kMaxPacketBytes;

absl::StatusOr<UniqueFd> NewSocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus("socket");
  return fd;
}

void WidenSendBuffer(int fd) {
  // The FORCE variant passes net.core.wmem_max but needs CAP_NET_ADMIN.
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBufferBytes, sizeof kSendBufferBytes) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof kSendBufferBytes);
  }
}

// A socket address holds 107 bytes; a longer path is reached through a descriptor of its folder,
// which must stay open until bind or connect is done.
struct Address {
  UniqueFd folder;
  struct sockaddr_un bytes = {};
};

absl::StatusOr<Address> AddressOf(const std::string& path) {
  Address address;
  address.bytes.sun_family = AF_UNIX;
  std::string text = path;
  if (path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError("a socket's path holds a zero byte");
  }
  if (text.size() >= sizeof address.bytes.sun_path) {
    ASSIGN_OR_RETURN(address.folder, OpenFile(FolderOf(path), O_PATH | O_DIRECTORY));
    text = Cat("/proc/self/fd/", address.folder.get(), "/", BaseName(path));
  }
  if (text.empty() || text.size() >= sizeof address.bytes.sun_path) {
    return absl::InvalidArgumentError(Cat("the socket path ", path, " is empty or too long"));
  }
  std::memcpy(address.bytes.sun_path, text.data(), text.size());
  return address;
}

const struct sockaddr* Generic(const Address& address) {
  return reinterpret_cast<const struct sockaddr*>(&address.bytes);
}

absl::Status RemoveStaleSocket(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus("stat ", path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::AlreadyExistsError(Cat("cannot listen at ", path, ": it is no socket"));
  }
  return RemoveFile(path);
}

// Closes what the kernel has installed in this process for one control message block.
void TakeDescriptors(struct msghdr& message, std::vector<UniqueFd>& into) {
  for (struct cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr;
       head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
      into.emplace_back(fd);
    }
  }
}

}  // namespace

absl::StatusOr<UniqueFd> ListenForPackets(const std::string& path, int backlog) {
  ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  ASSIGN_OR_RETURN(const Address address, AddressOf(path));
  RETURN_IF_ERROR(RemoveStaleSocket(path));
  // On Linux the mode of the socket's file is the socket's own one less the umask: never wider.
  if (fchmod(fd.get(), 0600) != 0) return ErrnoStatus("chmod socket ", path);
  if (bind(fd.get(), Generic(address), sizeof address.bytes) != 0) {
    return ErrnoStatus("bind ", path);
  }
  if (listen(fd.get(), backlog) != 0) return ErrnoStatus("listen at ", path);
  return fd;
}

absl::StatusOr<UniqueFd> ConnectForPackets(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  ASSIGN_OR_RETURN(const Address address, AddressOf(path));
  while (connect(fd.get(), Generic(address), sizeof address.bytes) != 0) {
    if (errno == EINTR) continue;
    if (errno == ECONNREFUSED || errno == EAGAIN) {
      return absl::UnavailableError(Cat("connect to ", path, ": ", strerror(errno)));
    }
    return ErrnoStatus("connect to ", path);
  }
  WidenSendBuffer(fd.get());
  return fd;
}

absl::StatusOr<std::pair<UniqueFd, UniqueFd>> PacketSocketPair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return ErrnoStatus("socketpair");
  }
  std::pair<UniqueFd, UniqueFd> pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
  WidenSendBuffer(ends[0]);
  WidenSendBuffer(ends[1]);
  return pair;
}

absl::StatusOr<UniqueFd> AcceptPackets(int listener) {
  while (true) {
    UniqueFd fd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.valid()) {
      WidenSendBuffer(fd.get());
      return fd;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return absl::UnavailableError("no connection waits");
    return ErrnoStatus("accept");
  }
}

absl::Status SendPacket(int socket, std::string_view data, std::span<const int> descriptors) {
  if (data.empty() || data.size() > kMaxPacketBytes) {
    return absl::InvalidArgumentError(
        Cat("a packet has 1 to ", kMaxPacketBytes, " bytes, not ", data.size()));
  }
  if (descriptors.size() > kMaxPacketDescriptors) {
    return absl::InvalidArgumentError(Cat("a packet carries at most ", kMaxPacketDescriptors,
                                          " descriptors, not ", descriptors.size()));
  }
  struct iovec bytes = {const_cast<char*>(data.data()), data.size()};
  alignas(struct cmsghdr) char control[CMSG_SPACE(kMaxPacketDescriptors * sizeof(int))] = {};
  struct msghdr message = {};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    struct cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(head), descriptors.data(), descriptors.size_bytes());
  }
  while (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno == EINTR) continue;
    // ETOOMANYREFS: too many descriptors are in flight to peers that do not read.
    if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS) {
      return absl::UnavailableError("send: the peer does not keep up");
    }
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) {
      return absl::AbortedError("send: the peer has closed the connection");
    }
    return ErrnoStatus("send a packet of ", data.size(), " bytes");
  }
  return absl::OkStatus();
}

absl::StatusOr<ReceivedPacket> ReceivePacket(int socket) {
  // Its length first: a buffer of the right size keeps a small process small.
  ssize_t length;
  do {
    length = recv(socket, nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  } while (length < 0 && errno == EINTR);
  if (length < 0) {
    if (errno == EAGAIN) return absl::UnavailableError("no packet is there");
    if (errno == ECONNRESET) return absl::AbortedError("the peer has closed the connection");
    return ErrnoStatus("receive");
  }
  ReceivedPacket packet;
  packet.data.resize(std::min<size_t>(length, kMaxPacketBytes));
  struct iovec bytes = {packet.data.data(), packet.data.size()};
  alignas(struct cmsghdr) char control[CMSG_SPACE(kMaxPacketDescriptors * sizeof(int))];
  struct msghdr message = {};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  do {
    length = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (length < 0 && errno == EINTR);
  if (length < 0) return ErrnoStatus("receive");
  TakeDescriptors(message, packet.descriptors);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return absl::ResourceExhaustedError(Cat("a packet has more than ", kMaxPacketBytes,
                                            " bytes or ", kMaxPacketDescriptors, " descriptors"));
  }
  if (length == 0) return absl::AbortedError("the peer has closed the connection");
  return packet;
}

}  // namespace crisp
