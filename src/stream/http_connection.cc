#include "stream/http_connection.h"

#include <optional>

#include "absl/strings/numbers.h"
#include "base/log.h"
#include "base/status.h"
#include "stream/port_forward.h"
#include "stream/remote_command.h"
#include "stream/spdy_session.h"
#include "stream/websocket.h"
#include "stream/websocket_session.h"

namespace crisp::stream {
namespace {

constexpr std::string_view kSpdy = "SPDY/3.1";
constexpr std::string_view kPortForward = "portforward.k8s.io";
constexpr std::string_view kTunnel = "SPDY/3.1+portforward.k8s.io";
constexpr std::string_view kVersions = "X-Stream-Protocol-Version";
constexpr size_t kBuffer = 4096;
constexpr int kCommandChannels = 5;  // stdin, stdout, stderr, error, resize
constexpr size_t kMaxPortChannels = 100;

// The protocols of a command over SPDY, and what they are called in ours.
constexpr std::pair<std::string_view, int> kCommandVersions[] = {
    {"v4.channel.k8s.io", 4},
    {"v3.channel.k8s.io", 3},
    {"v2.channel.k8s.io", 2},
    {"channel.k8s.io", 1},
};

// The kind of ticket that a path asks for, as an index of the variant; -1 for another path.
int KindOf(std::string_view path, std::string& token) {
  constexpr std::string_view kPaths[] = {"/exec/", "/attach/", "/portforward/"};
  for (int i = 0; i < 3; ++i) {
    if (!path.starts_with(kPaths[i])) continue;
    token = path.substr(kPaths[i].size());
    return i;
  }
  return -1;
}

CommandJob JobOf(Ticket ticket, int version) {
  CommandJob job{.protocol_version = version};
  if (auto* exec = std::get_if<ExecTicket>(&ticket)) {
    job.request = std::move(exec->request);
  } else {
    job.request = std::move(std::get<AttachTicket>(ticket).request);
    job.attach = true;
  }
  return job;
}

std::string Accepted(bool port_forward) {
  constexpr std::string_view kAccepted = "X-Accepted-Stream-Protocol-Versions: ";
  if (port_forward) return Cat(kAccepted, kPortForward, "\r\n");
  std::string lines;
  for (const auto& [name, version] : kCommandVersions) lines += Cat(kAccepted, name, "\r\n");
  return lines;
}

}  // namespace

HttpConnection::HttpConnection(ServerContext& context, UniqueFd fd, TlsContext* tls)
    : context_(context),
      socket_(std::make_shared<Socket>(context.loop, std::move(fd), tls)),
      alarm_(context.loop) {}

void HttpConnection::Start() {
  context_.sessions.Add(shared_from_this());
  alarm_.Set(context_.options.creation_timeout, [weak = weak_from_this()] {
    if (const auto self = weak.lock())
      self->Cut(absl::DeadlineExceededError("the client's request did not come in time"));
  });
  socket_->Handshake([self = shared_from_this()](boost::system::error_code error, size_t) {
    if (error) return self->Cut(absl::UnavailableError(Cat("TLS: ", error.message())));
    self->Read();
  });
}

void HttpConnection::Cut(const absl::Status& why) {
  if (std::exchange(ended_, true)) return;
  const auto self = shared_from_this();
  if (!answered_) LOG_DEBUG("streaming: a connection is cut: {}", why.ToString());
  alarm_.Cancel();
  socket_->Close();
  context_.sessions.Remove(this);
}

void HttpConnection::HandOver() {
  ended_ = true;
  alarm_.Cancel();
  context_.sessions.Remove(this);
}

void HttpConnection::Read() {
  if (ended_) return;
  if (buffer_.empty()) buffer_.resize(kBuffer);
  socket_->ReadSome(
      buffer_.data(), buffer_.size(),
      [self = shared_from_this()](boost::system::error_code error, size_t count) {
        if (error) {
          return self->Cut(absl::UnavailableError(Cat("the client has gone: ", error.message())));
        }
        self->OnRead(count);
      });
}

void HttpConnection::OnRead(size_t count) {
  if (ended_) return;
  if (answered_) return Read();  // waits for the client's end
  received_.append(buffer_.data(), count);
  const absl::StatusOr<size_t> size = FindHttpHead(received_);
  if (!size.ok()) {
    const bool large = size.status().code() == absl::StatusCode::kResourceExhausted;
    return Answer(large ? 431 : 400, FromAbsl(size.status().message()));
  }
  if (*size == 0) return Read();
  auto head = ParseHttpHead(std::string_view(received_).substr(0, *size));
  if (!head.ok()) return Answer(400, FromAbsl(head.status().message()));
  // What the client sent ahead belongs to the protocol that follows.
  received_.erase(0, *size);
  if (!received_.empty()) socket_->Unread(std::move(received_));
  std::vector<char>().swap(buffer_);
  OnRequest(*std::move(head));
}

void HttpConnection::OnRequest(HttpHead head) {
  std::string token;
  const int kind = KindOf(head.Path(), token);
  if (kind < 0) return Answer(404, "there is nothing at this path");
  if (head.method != "GET" && head.method != "POST")
    return Answer(405, "only GET and POST are served", "Allow: GET, POST\r\n");
  auto ticket = context_.tickets.Redeem(token);
  if (!ticket.ok() || static_cast<int>(ticket->index()) != kind)
    return Answer(404, "the token of this streaming URL is unknown, was used, or has expired");
  if (head.Has("Connection", "Upgrade") && head.Has("Upgrade", "websocket"))
    return UpgradeWebSocket(head, *std::move(ticket));
  if (head.Has("Connection", "Upgrade") && head.Has("Upgrade", kSpdy))
    return UpgradeSpdy(head, *std::move(ticket));
  Answer(400, "unable to upgrade: the request must ask for SPDY/3.1 or WebSocket");
}

void HttpConnection::UpgradeSpdy(const HttpHead& head, Ticket ticket) {
  const bool port_forward = std::holds_alternative<PortForwardTicket>(ticket);
  const std::vector<std::string> offered = head.Values(kVersions);
  if (offered.empty()) return Answer(400, Cat("unable to upgrade: ", kVersions, " is required"));
  std::string chosen;
  int version = 0;
  for (const std::string& each : offered) {
    if (!chosen.empty()) break;
    if (port_forward && each == kPortForward) chosen = each;
    for (const auto& [name, number] : kCommandVersions) {
      if (port_forward || each != name) continue;
      chosen = each;
      version = number;
    }
  }
  if (chosen.empty()) {
    return Answer(403, "unable to upgrade: none of the client's protocols is served",
                  Accepted(port_forward));
  }
  auto answer = std::make_shared<std::string>(
      Cat("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ", kSpdy, "\r\n",
          kVersions, ": ", chosen, "\r\n\r\n"));
  auto done = [self = shared_from_this(), answer, ticket = std::move(ticket), version](
                  boost::system::error_code error, size_t) mutable {
    if (self->ended_) return;
    if (error) return self->Cut(absl::UnavailableError(error.message()));
    self->HandOver();
    auto session = std::make_shared<SpdySession>(self->context_, self->socket_);
    if (auto* ports = std::get_if<PortForwardTicket>(&ticket)) {
      session->Start(std::make_shared<PortForwardUser>(self->context_, session, std::move(*ports)));
    } else {
      auto user = std::make_shared<RemoteCommandUser>(self->context_, session,
                                                      JobOf(std::move(ticket), version));
      session->Start(user);
      user->Await();
    }
  };
  socket_->Write({*answer}, std::move(done));
}

void HttpConnection::UpgradeWebSocket(const HttpHead& head, Ticket ticket) {
  auto* ports = std::get_if<PortForwardTicket>(&ticket);
  std::vector<std::string> offered = head.Values("Sec-WebSocket-Protocol");
  if (offered.empty()) offered.emplace_back();
  for (const std::string& each : offered) {
    if (ports != nullptr && each == kTunnel) return OpenTunnel(head, std::move(*ports));
    const auto protocol = ports != nullptr ? PortProtocol(each) : CommandProtocol(each);
    if (!protocol) continue;
    if (ports != nullptr) return OpenPortChannels(head, std::move(*ports), *protocol);
    return OpenCommandChannels(head, std::move(ticket), *protocol);
  }
  Answer(400, "unable to upgrade: none of the client's WebSocket protocols is served");
}

void HttpConnection::OpenCommandChannels(const HttpHead& head, Ticket ticket,
                                         const ChannelProtocol& protocol) {
  auto websocket = std::make_shared<WebSocket>(socket_, protocol.base64);
  auto done = [self = shared_from_this(), websocket, ticket = std::move(ticket), protocol](
                  boost::system::error_code error, size_t) mutable {
    if (self->ended_) return;
    if (error) return self->Cut(absl::InvalidArgumentError(error.message()));
    self->HandOver();
    auto session =
        std::make_shared<WebSocketSession>(self->context_, websocket, protocol, kCommandChannels);
    const CommandJob job = JobOf(std::move(ticket), protocol.version);
    CommandChannels channels;
    const bool wanted[] = {job.request.in, job.request.out, job.request.err, true, job.request.tty};
    std::shared_ptr<ClientStream>* const places[] = {&channels.in, &channels.out, &channels.err,
                                                     &channels.error, &channels.resize};
    for (int i = 0; i < kCommandChannels; ++i) {
      if (wanted[i]) {
        *places[i] = session->channel(i);
      } else {
        session->channel(i)->Forget();
      }
    }
    auto user = std::make_shared<RemoteCommandUser>(self->context_, session, job);
    session->Start(user);
    // An empty message tells the client that it is connected.
    const auto& first = channels.out != nullptr   ? channels.out
                        : channels.err != nullptr ? channels.err
                                                  : channels.error;
    first->SendText("");
    user->Begin(std::move(channels));
  };
  websocket->Accept(head, protocol.name, std::move(done));
}

void HttpConnection::OpenPortChannels(const HttpHead& head, PortForwardTicket ticket,
                                      const ChannelProtocol& protocol) {
  std::vector<uint16_t> ports = ticket.ports;
  if (ports.empty()) {
    for (const std::string& text : head.Query("port")) {
      uint32_t port = 0;
      if (!absl::SimpleAtoi(text, &port) || port == 0 || port > UINT16_MAX)
        return Answer(400, Cat("\"", text, "\" is no port"));
      ports.push_back(static_cast<uint16_t>(port));
    }
  }
  if (ports.empty() || ports.size() > kMaxPortChannels)
    return Answer(
        400, Cat("this protocol forwards 1 to ", kMaxPortChannels, " ports, named in the request"));
  auto websocket = std::make_shared<WebSocket>(socket_, protocol.base64);
  auto done = [self = shared_from_this(), websocket, ticket = std::move(ticket), ports, protocol](
                  boost::system::error_code error, size_t) mutable {
    if (self->ended_) return;
    if (error) return self->Cut(absl::InvalidArgumentError(error.message()));
    self->HandOver();
    auto session = std::make_shared<WebSocketSession>(self->context_, websocket, protocol,
                                                      static_cast<int>(ports.size() * 2));
    std::vector<PortForwardUser::Channels> channels;
    for (size_t i = 0; i < ports.size(); ++i) {
      const int first = static_cast<int>(i * 2);
      channels.push_back({ports[i], session->channel(first), session->channel(first + 1)});
    }
    auto user = std::make_shared<PortForwardUser>(self->context_, session, std::move(ticket));
    session->Start(user);
    user->Begin(std::move(channels));
  };
  websocket->Accept(head, protocol.name, std::move(done));
}

void HttpConnection::OpenTunnel(const HttpHead& head, PortForwardTicket ticket) {
  auto websocket = std::make_shared<WebSocket>(socket_, false);
  auto done = [self = shared_from_this(), websocket, ticket = std::move(ticket)](
                  boost::system::error_code error, size_t) mutable {
    if (self->ended_) return;
    if (error) return self->Cut(absl::InvalidArgumentError(error.message()));
    self->HandOver();
    auto session =
        std::make_shared<SpdySession>(self->context_, std::make_shared<WebSocketBytes>(websocket));
    session->Start(std::make_shared<PortForwardUser>(self->context_, session, std::move(ticket)));
  };
  websocket->Accept(head, std::string(kTunnel), std::move(done));
}

void HttpConnection::Answer(int status, std::string_view text, std::string_view extra) {
  answered_ = true;
  auto answer = std::make_shared<std::string>(HttpAnswer(status, text, extra));
  socket_->Write({*answer},
                 [self = shared_from_this(), answer](boost::system::error_code error, size_t) {
                   if (error || self->ended_) return self->Cut(absl::OkStatus());
                   self->socket_->Finish();
                   self->alarm_.Set(kLinger, [weak = self->weak_from_this()] {
                     if (const auto late = weak.lock()) late->Cut(absl::OkStatus());
                   });
                   self->Read();
                 });
}

}  // namespace crisp::stream
