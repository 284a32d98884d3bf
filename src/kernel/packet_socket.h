// Packet sockets: SOCK_SEQPACKET sockets on the file system that carry whole messages of at most
// 128 KiB together with file descriptors. All sockets made here are non-blocking and close-on-exec.
// Any thread; the caller owns the descriptors that come out.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

inline constexpr size_t kMaxPacketBytes = 128 << 10;
inline constexpr size_t kMaxPacketDescriptors = 8;

struct ReceivedPacket {
  std::string data;
  std::vector<UniqueFd> descriptors;
};

// Listens at path (mode 0600, never wider), replacing a socket that a dead process left there.
// Paths longer than a socket address (107 bytes) work, too. AlreadyExists if path is no socket.
absl::StatusOr<UniqueFd> ListenForPackets(const std::string& path, int backlog = 64);

// NotFound if nothing is at path; Unavailable if nobody listens there or its backlog is full.
absl::StatusOr<UniqueFd> ConnectForPackets(const std::string& path);

// Both ends of an unnamed connection.
absl::StatusOr<std::pair<UniqueFd, UniqueFd>> PacketSocketPair();

// The next connection; Unavailable if none waits.
absl::StatusOr<UniqueFd> AcceptPackets(int listener);

// Sends one packet whole. Unavailable: the socket's buffer is full, wait for EPOLLOUT. Aborted: the
// peer has gone. InvalidArgument: empty, too long or too many descriptors.
absl::Status SendPacket(int socket, std::string_view data, std::span<const int> descriptors = {});

// Unavailable: nothing is there yet. Aborted: the peer has closed. ResourceExhausted: the packet
// was too long or had too many descriptors; it is consumed and its descriptors are closed.
absl::StatusOr<ReceivedPacket> ReceivePacket(int socket);

}  // namespace crisp
