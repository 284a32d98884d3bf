#include "stream/server.h"

#include <sys/socket.h>

#include <optional>

#include "absl/synchronization/notification.h"
#include "base/log.h"
#include "base/status.h"
#include "stream/http_connection.h"
#include "stream/listener.h"
#include "stream/loop.h"
#include "stream/server_context.h"
#include "stream/socket.h"
#include "stream/ticket.h"
#include "stream/workers.h"

namespace crisp {
namespace {

constexpr size_t kMaxWorkers = 16;
constexpr size_t kMaxWaitingTasks = 256;
// When the process has no descriptor left, the next attempt to accept comes after this.
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

absl::StatusOr<std::unique_ptr<stream::TlsContext>> LoadTls(const StreamServerOptions& options) {
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError(
        "the streaming server needs both a certificate and its key, or neither");
  }
  if (options.tls_cert.empty()) return nullptr;
  return stream::TlsContext::Load(options.tls_cert, options.tls_key);
}

}  // namespace

struct StreamServer::Parts {
  Parts(const StreamServerOptions& options, StreamBackend& backend)
      : options(options),
        workers(kMaxWorkers, kMaxWaitingTasks),
        context{loop, workers, backend, tickets, this->options} {}

  void Accept();
  void Wait(std::function<void()> task);  // runs it on the loop's thread

  const StreamServerOptions options;
  std::string base_url;
  TicketTable tickets;
  std::unique_ptr<stream::TlsContext> tls;
  stream::Workers workers;
  stream::Loop loop;
  stream::ServerContext context;
  std::optional<stream::FdWatch> listener;
  std::optional<stream::Alarm> pause;
  bool running = false;
};

void StreamServer::Parts::Accept() {
  for (;;) {
    UniqueFd client(::accept4(listener->fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client.valid()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) break;
      LOG_WARN("streaming: {}", ErrnoStatus("accept a client").ToString());
      pause->Set(kAcceptPause, [this] { Accept(); });
      return;
    }
    if (context.sessions.size() >= static_cast<size_t>(options.max_connections)) {
      LOG_WARN("streaming: a client is refused: there are {} already", options.max_connections);
      if (tls == nullptr) {
        const std::string answer = stream::HttpAnswer(503, "too many streaming sessions");
        ::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      }
      continue;
    }
    std::make_shared<stream::HttpConnection>(context, std::move(client), tls.get())->Start();
  }
  listener->WhenReadable([this] { Accept(); });
}

void StreamServer::Parts::Wait(std::function<void()> task) {
  absl::Notification done;
  loop.Post([&] {
    task();
    done.Notify();
  });
  done.WaitForNotification();
}

StreamServer::StreamServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

StreamServer::~StreamServer() { Stop(); }

absl::StatusOr<std::unique_ptr<StreamServer>> StreamServer::Start(
    const StreamServerOptions& options, StreamBackend& backend) {
  auto parts = std::make_unique<Parts>(options, backend);
  ASSIGN_OR_RETURN(parts->tls, LoadTls(options));
  ASSIGN_OR_RETURN(Listener listener, Listen(options.address, options.port));
  parts->base_url = Cat(parts->tls == nullptr ? "http://" : "https://", listener.host_and_port);
  parts->listener.emplace(parts->loop, std::move(listener.fd));
  parts->pause.emplace(parts->loop);
  parts->loop.Start();
  parts->running = true;
  parts->loop.Post([parts = parts.get()] { parts->Accept(); });
  return std::unique_ptr<StreamServer>(new StreamServer(std::move(parts)));
}

void StreamServer::Stop() {
  Parts& parts = *parts_;
  if (!std::exchange(parts.running, false)) return;
  parts.context.stopping = true;
  parts.Wait([&] {
    parts.listener->Close();
    parts.pause->Cancel();
    parts.context.sessions.CutAll(absl::UnavailableError("the streaming server stops"));
  });
  parts.workers.Stop();
  // What the workers brought back is given up on the loop, which may take a turn or two.
  for (int i = 0; i < 3; ++i) parts.Wait([] {});
  parts.loop.Stop();
}

const std::string& StreamServer::base_url() const { return parts_->base_url; }

std::string StreamServer::certificate_sha256() const {
  return parts_->tls == nullptr ? "" : parts_->tls->Sha256();
}

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
