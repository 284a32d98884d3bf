// ControlServer: the monitor's end of the protocol of docs/monitor-protocol.md: accepts
// connections, takes requests in, sends replies and events out. A peer that sends garbage is told
// so and cut, and so is one that does not read: no peer costs the monitor more than a bounded
// amount of memory or any waiting. One thread; borrows the loop.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/monitor.pb.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace crisp {

class ControlServer {
 public:
  struct Handler {
    std::function<void(uint64_t connection, const monitor::Request&, std::vector<UniqueFd>)>
        request;
    std::function<void(uint64_t connection)> closed;
  };

  ControlServer(EventLoop& loop, Handler handler) : loop_(loop), handler_(std::move(handler)) {}
  ~ControlServer();

  // Serves a listening packet socket, and every connection to it.
  absl::Status Listen(UniqueFd listener);
  // Serves a connected one.
  absl::Status Adopt(UniqueFd socket);

  // Nothing happens if the connection has gone.
  void Reply(uint64_t connection, const monitor::Reply& reply, UniqueFd descriptor);
  // To all that have said Hello and were not refused.
  void Broadcast(const monitor::Packet& event);

  size_t connections() const { return connections_.size(); }

 private:
  struct Outgoing {
    std::string data;
    UniqueFd descriptor;
  };
  struct Connection {
    UniqueFd socket;
    uint32_t events;
    bool greeted = false;
    std::deque<Outgoing> queue;
    size_t queued_bytes = 0;
  };

  void Accept();
  void Serve(uint64_t id, uint32_t events);
  bool ReceiveOne(uint64_t id);
  void Send(uint64_t id, Outgoing packet);
  void Flush(uint64_t id);
  void Cut(uint64_t id, std::string_view why);
  void Close(uint64_t id);

  EventLoop& loop_;
  const Handler handler_;
  UniqueFd listener_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, std::unique_ptr<Connection>> connections_;
};

}  // namespace crisp
