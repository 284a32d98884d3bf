// PortForwardUser: a client's port-forward session. Over SPDY every connection is a pair of
// streams, error and data, that share a request id; over WebSocket each requested port has its pair
// of channels from the start. Loop's thread.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "stream/forwarded_port.h"
#include "stream/server_context.h"
#include "stream/session.h"
#include "stream/ticket.h"

namespace crisp::stream {

class PortForwardUser final : public SessionUser,
                              public std::enable_shared_from_this<PortForwardUser> {
 public:
  static constexpr size_t kMaxConnections = 256;  // of one session

  PortForwardUser(ServerContext& context, std::shared_ptr<Session> session,
                  PortForwardTicket ticket)
      : context_(context), session_(std::move(session)), ticket_(std::move(ticket)) {}

  // WebSocket: the pair of channels of each port; the session closes when the last has ended.
  struct Channels {
    uint16_t port;
    std::shared_ptr<ClientStream> data, error;
  };
  void Begin(std::vector<Channels> channels);

  bool OnStream(std::shared_ptr<ClientStream> stream, const SpdyHeaders& headers) override;
  void OnClosed(const absl::Status& why) override;

 private:
  // A connection whose second stream has not come yet.
  struct Pair {
    uint16_t port = 0;
    std::shared_ptr<ClientStream> data, error;
    std::shared_ptr<Alarm> alarm;
  };

  void ExpectOther(const std::string& id, Pair& pair);
  void Connect(uint16_t port, std::shared_ptr<ClientStream> data,
               std::shared_ptr<ClientStream> error);

  ServerContext& context_;
  std::shared_ptr<Session> session_;  // null after the end
  const PortForwardTicket ticket_;
  std::map<std::string, Pair> pairs_;
  std::set<std::shared_ptr<ForwardedPort>> connections_;
  bool channels_ = false;  // WebSocket
  uint64_t stream_ = 0;    // SPDY: streams so far, for clients without request ids
};

}  // namespace crisp::stream
