#include "monitor/control_server.h"

#include <sys/epoll.h>

#include <span>
#include <utility>

#include "base/status.h"
#include "kernel/packet_socket.h"
#include "monitor/monitor_log.h"

namespace crisp {
namespace {

constexpr size_t kMaxConnections = 32;
// Of packets that wait for a peer to read, besides what its socket's buffer holds.
constexpr size_t kMaxQueuedBytes = 512 << 10;
constexpr size_t kMaxQueuedPackets = 4096;
// Requests taken from one connection before others get their turn.
constexpr int kRequestsPerTurn = 16;
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

}  // namespace

ControlServer::~ControlServer() {
  if (listener_.valid()) loop_.Remove(listener_.get());
  for (const auto& [id, connection] : connections_) loop_.Remove(connection->socket.get());
}

absl::Status ControlServer::Listen(UniqueFd listener) {
  listener_ = std::move(listener);
  return loop_.Add(listener_.get(), EPOLLIN, [this](uint32_t) { Accept(); });
}

void ControlServer::Accept() {
  absl::StatusOr<UniqueFd> socket = AcceptPackets(listener_.get());
  if (absl::IsUnavailable(socket.status())) return;
  if (socket.ok()) {
    const absl::Status status = Adopt(*std::move(socket));
    if (!status.ok()) Report(Cat("a connection: ", status.message()));
    return;
  }
  // Out of descriptors, most likely: the connection stays in the backlog, so look away for a while.
  Report(Cat("accept: ", socket.status().message()));
  loop_.Remove(listener_.get());
  loop_.After(kAcceptPause, [this] {
    const absl::Status status = loop_.Add(listener_.get(), EPOLLIN, [this](uint32_t) { Accept(); });
    if (!status.ok()) Report(Cat("listen: ", status.message()));
  });
}

absl::Status ControlServer::Adopt(UniqueFd socket) {
  if (connections_.size() >= kMaxConnections) {
    return absl::ResourceExhaustedError(
        Cat("refused, there are ", kMaxConnections, " connections already"));
  }
  const uint64_t id = next_id_++;
  const int fd = socket.get();
  RETURN_IF_ERROR(loop_.Add(fd, EPOLLIN, [this, id](uint32_t events) { Serve(id, events); }));
  auto connection = std::make_unique<Connection>();
  connection->socket = std::move(socket);
  connection->events = EPOLLIN;
  connections_.emplace(id, std::move(connection));
  return absl::OkStatus();
}

void ControlServer::Serve(uint64_t id, uint32_t events) {
  if ((events & EPOLLOUT) != 0) Flush(id);
  // EPOLLHUP and EPOLLERR show when receiving, after the last requests.
  if ((events & ~uint32_t{EPOLLOUT}) == 0) return;
  for (int i = 0; i < kRequestsPerTurn; ++i) {
    if (!connections_.contains(id) || !ReceiveOne(id)) return;
  }
}

// Takes one request; false if none was there or the connection is no more.
bool ControlServer::ReceiveOne(uint64_t id) {
  absl::StatusOr<ReceivedPacket> packet = ReceivePacket(connections_.at(id)->socket.get());
  if (absl::IsUnavailable(packet.status())) return false;
  if (absl::IsAborted(packet.status())) {
    Close(id);
    return false;
  }
  if (!packet.ok()) {
    Cut(id, FromAbsl(packet.status().message()));
    return false;
  }
  monitor::Request request;
  if (!request.ParseFromString(packet->data)) {
    monitor::Reply reply;
    reply.set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
    reply.set_message("the packet holds no request of this protocol");
    Reply(id, reply, UniqueFd());
    Cut(id, "it sent a packet that holds no request");
    return false;
  }
  // Memory for large ones goes back before anything is started from it.
  packet->data = std::string();
  handler_.request(id, request, std::move(packet->descriptors));
  return true;
}

void ControlServer::Reply(uint64_t connection, const monitor::Reply& reply, UniqueFd descriptor) {
  const auto found = connections_.find(connection);
  if (found == connections_.end()) return;
  // Only an accepted Hello is answered with the protocol's version.
  if (reply.protocol() > 0) found->second->greeted = true;
  monitor::Packet packet;
  *packet.mutable_reply() = reply;
  if (packet.ByteSizeLong() > kMaxPacketBytes) {
    // Hundreds of exits with long messages: those stand in the exit records, too.
    for (monitor::ContainerState& state : *packet.mutable_reply()->mutable_containers()) {
      if (state.has_exit()) state.mutable_exit()->clear_message();
    }
  }
  Send(connection, {packet.SerializeAsString(), std::move(descriptor)});
}

void ControlServer::Broadcast(const monitor::Packet& event) {
  const std::string data = event.SerializeAsString();
  std::vector<uint64_t> greeted;
  for (const auto& [id, connection] : connections_) {
    if (connection->greeted) greeted.push_back(id);
  }
  for (const uint64_t id : greeted) Send(id, {data, UniqueFd()});
}

void ControlServer::Send(uint64_t id, Outgoing packet) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  connection.queued_bytes += packet.data.size();
  connection.queue.push_back(std::move(packet));
  if (connection.queue.size() == 1) return Flush(id);
  if (connection.queued_bytes > kMaxQueuedBytes || connection.queue.size() > kMaxQueuedPackets) {
    Cut(id, "it does not read");
  }
}

void ControlServer::Flush(uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  while (!connection.queue.empty()) {
    const Outgoing& packet = connection.queue.front();
    const int descriptor = packet.descriptor.get();
    const absl::Status sent =
        SendPacket(connection.socket.get(), packet.data,
                   std::span<const int>(&descriptor, packet.descriptor.valid() ? 1 : 0));
    if (absl::IsUnavailable(sent)) break;
    if (!sent.ok()) return absl::IsAborted(sent) ? Close(id) : Cut(id, FromAbsl(sent.message()));
    connection.queued_bytes -= packet.data.size();
    connection.queue.pop_front();
  }
  const uint32_t events = connection.queue.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT;
  if (connection.events == events) return;
  connection.events = events;
  const absl::Status changed = loop_.Change(connection.socket.get(), events);
  if (!changed.ok()) Cut(id, FromAbsl(changed.message()));
}

void ControlServer::Cut(uint64_t id, std::string_view why) {
  Report(Cat("connection ", id, " is cut: ", why));
  Close(id);
}

void ControlServer::Close(uint64_t id) {
  const auto node = connections_.extract(id);
  if (node.empty()) return;
  loop_.Remove(node.mapped()->socket.get());
  handler_.closed(id);
}

}  // namespace crisp
