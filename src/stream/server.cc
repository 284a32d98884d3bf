#include "stream/server.h"

#include "base/status.h"
#include "stream/listener.h"
#include "stream/ticket.h"

namespace crisp {

struct StreamServer::Parts {
  StreamServerOptions options;
  StreamBackend& backend;
  Listener listener;
  std::string base_url;
  TicketTable tickets;
};

StreamServer::StreamServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

StreamServer::~StreamServer() { Stop(); }

absl::StatusOr<std::unique_ptr<StreamServer>> StreamServer::Start(
    const StreamServerOptions& options, StreamBackend& backend) {
  std::unique_ptr<Parts> parts(new Parts{.options = options, .backend = backend});
  ASSIGN_OR_RETURN(parts->listener, Listen(options.address, options.port));
  parts->base_url =
      Cat(options.tls_cert.empty() ? "http://" : "https://", parts->listener.host_and_port);
  return std::unique_ptr<StreamServer>(new StreamServer(std::move(parts)));
}

void StreamServer::Stop() { parts_->listener.fd.reset(); }

const std::string& StreamServer::base_url() const { return parts_->base_url; }

absl::StatusOr<std::string> StreamServer::ForExec(CommandRequest request) {
  ASSIGN_OR_RETURN(const std::string token, parts_->tickets.Issue(ExecTicket{std::move(request)}));
  return Cat(parts_->base_url, "/exec/", token);
}

absl::StatusOr<std::string> StreamServer::ForAttach(CommandRequest request) {
  ASSIGN_OR_RETURN(const std::string token,
                   parts_->tickets.Issue(AttachTicket{std::move(request)}));
  return Cat(parts_->base_url, "/attach/", token);
}

absl::StatusOr<std::string> StreamServer::ForPortForward(std::string pod_id,
                                                         std::vector<uint16_t> ports) {
  ASSIGN_OR_RETURN(const std::string token,
                   parts_->tickets.Issue(PortForwardTicket{std::move(pod_id), std::move(ports)}));
  return Cat(parts_->base_url, "/portforward/", token);
}

}  // namespace crisp
