// HttpConnection: a client from its arrival to its upgrade. Reads one request, redeems the token,
// agrees on a protocol, and hands the connection over to a session; or answers what is wrong and
// closes. Loop's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "stream/channel_decoder.h"
#include "stream/http_head.h"
#include "stream/server_context.h"
#include "stream/socket.h"

namespace crisp::stream {

class HttpConnection final : public Cuttable, public std::enable_shared_from_this<HttpConnection> {
 public:
  // tls may be null.
  HttpConnection(ServerContext& context, UniqueFd fd, TlsContext* tls);

  // Enters the set of sessions.
  void Start();
  void Cut(const absl::Status& why) override;

 private:
  void Read();
  void OnRead(size_t count);
  void OnRequest(HttpHead head);

  void UpgradeSpdy(const HttpHead& head, Ticket ticket);
  void UpgradeWebSocket(const HttpHead& head, Ticket ticket);
  void OpenCommandChannels(const HttpHead& head, Ticket ticket, const ChannelProtocol& protocol);
  void OpenPortChannels(const HttpHead& head, PortForwardTicket ticket,
                        const ChannelProtocol& protocol);
  void OpenTunnel(const HttpHead& head, PortForwardTicket ticket);

  void Answer(int status, std::string_view text, std::string_view extra = "");
  // The connection is a session's now.
  void HandOver();

  ServerContext& context_;
  std::shared_ptr<Socket> socket_;
  std::string received_;
  std::vector<char> buffer_;
  Alarm alarm_;
  bool ended_ = false, answered_ = false;
};

}  // namespace crisp::stream
