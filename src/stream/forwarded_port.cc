#include "stream/forwarded_port.h"

#include <sys/socket.h>

#include "base/log.h"
#include "base/status.h"

namespace crisp::stream {
namespace {

// Once the pod has closed, what the client still sends goes nowhere; it gets this long to notice.
constexpr absl::Duration kAfterPodEnd = absl::Seconds(1);

}  // namespace

ForwardedPort::ForwardedPort(ServerContext& context, std::shared_ptr<Session> session,
                             std::string pod_id, uint16_t port, std::shared_ptr<ClientStream> data,
                             std::shared_ptr<ClientStream> error)
    : context_(context),
      session_(std::move(session)),
      pod_id_(std::move(pod_id)),
      port_(port),
      data_(std::move(data)),
      error_(std::move(error)),
      alarm_(context.loop) {}

void ForwardedPort::Start() {
  error_->Receive(nullptr, nullptr, nullptr);
  Workers::Task task = [&context = context_, pod_id = pod_id_, port = port_, gone = gone_,
                        self = shared_from_this()]() mutable {
    auto socket = context.backend.DialPort(pod_id, port, BackendCall(context, gone));
    context.loop.Post([self = std::move(self), socket = std::move(socket)]() mutable {
      self->OnDialled(std::move(socket));
    });
  };
  if (!context_.workers.Run(task)) {
    Fail(absl::ResourceExhaustedError(
        "too many connections are being made at once; try again later"));
  }
}

void ForwardedPort::OnDialled(absl::StatusOr<UniqueFd> socket) {
  if (session_ == nullptr) return;
  if (!socket.ok()) return Fail(socket.status());
  const auto self = shared_from_this();
  socket_ = std::make_shared<FdWatch>(context_.loop, *std::move(socket));
  to_pod_ = std::make_shared<FdWriter>(socket_, session_, nullptr);
  from_pod_ = std::make_shared<FdPump>(socket_, data_, [weak = weak_from_this()] {
    if (const auto port = weak.lock()) port->OnPodEnd();
  });
  data_->Receive([writer = to_pod_](std::string_view data) { writer->Write(data); },
                 [weak = weak_from_this()] {
                   if (const auto port = weak.lock()) port->OnClientEnd();
                 },
                 [weak = weak_from_this()] {
                   if (const auto port = weak.lock()) port->End();
                 });
  if (session_ != nullptr) from_pod_->Start();
}

void ForwardedPort::OnClientEnd() {
  client_ended_ = true;
  if (pod_ended_) return End();
  // The pod may still have something to say, for as long as it likes: a half-close is no close.
  to_pod_->Finish([socket = socket_] { ::shutdown(socket->fd(), SHUT_WR); });
}

void ForwardedPort::OnPodEnd() {
  pod_ended_ = true;
  data_->Finish();
  error_->Finish();
  if (client_ended_) return End();
  alarm_.Set(kAfterPodEnd, [weak = weak_from_this()] {
    const auto port = weak.lock();
    if (port == nullptr) return;
    port->data_->Reset();
    port->End();
  });
}

void ForwardedPort::Fail(const absl::Status& why) {
  LOG_DEBUG("streaming: pod {}: forward port {}: {}", pod_id_, port_, why.ToString());
  error_->SendText(
      Cat("error forwarding port ", port_, " to pod ", pod_id_, ": ", FromAbsl(why.message())));
  error_->Finish();
  data_->Reset();
  End();
}

void ForwardedPort::End() {
  const auto on_end = std::exchange(on_end_, nullptr);
  if (session_ != nullptr) {
    data_->Finish();
    error_->Finish();
  }
  Close();
  if (on_end) on_end();
}

void ForwardedPort::Close() {
  on_end_ = nullptr;
  *gone_ = true;
  alarm_.Cancel();
  if (from_pod_ != nullptr) from_pod_->Close();
  if (to_pod_ != nullptr) to_pod_->Close();
  if (session_ != nullptr) {
    data_->Forget();
    error_->Forget();
  }
  session_ = nullptr;
}

}  // namespace crisp::stream
