#include "stream/websocket_session.h"

#include "base/log.h"
#include "base/status.h"

namespace crisp::stream {

class WebSocketSession::Channel final : public ClientStream {
 public:
  Channel(WebSocketSession* session, int index)
      : ClientStream(session), socket_(session), index_(index) {}

  void Send(std::string_view data, std::function<void()> sent) override {
    if (socket_ != nullptr) socket_->Push(index_, data, std::move(sent));
  }
  void Finish() override {}  // the protocols cannot say it in this direction
  void Reset() override {}
  void Detach() {
    Unlink();
    socket_ = nullptr;
  }

 private:
  WebSocketSession* socket_;  // null after its end
  const int index_;
};

WebSocketSession::WebSocketSession(ServerContext& context, std::shared_ptr<WebSocket> socket,
                                   ChannelProtocol protocol, int channels)
    : context_(context),
      socket_(std::move(socket)),
      protocol_(std::move(protocol)),
      decoder_(protocol_, channels),
      timer_(context.loop, context.options.idle_timeout) {
  for (int i = 0; i < channels; ++i) channels_.push_back(std::make_shared<Channel>(this, i));
}

WebSocketSession::~WebSocketSession() {
  for (const auto& channel : channels_) channel->Detach();
}

std::shared_ptr<ClientStream> WebSocketSession::channel(int index) { return channels_[index]; }

void WebSocketSession::Start(std::shared_ptr<SessionUser> user) {
  user_ = std::move(user);
  context_.sessions.Add(shared_from_this());
  timer_.Watch(weak_from_this());
  ReadOn();
}

void WebSocketSession::ReadOn() {
  // The closing handshake reads by itself.
  if (reading_ || state_ != State::kOpen || held()) return;
  reading_ = true;
  if (buffer_.empty()) buffer_.resize(kSmallBuffer);
  socket_->ReadSome(
      buffer_.data(), buffer_.size(),
      [self = shared_from_this()](boost::system::error_code error, size_t count, bool last) {
        self->OnRead(error ? absl::UnavailableError(Cat("the client has gone: ", error.message()))
                           : absl::OkStatus(),
                     count, last);
      });
}

void WebSocketSession::OnRead(const absl::Status& status, size_t count, bool last) {
  absl::Status fed;
  if (state_ == State::kOpen && status.ok()) {
    timer_.Touch();
    fed = decoder_.Feed({buffer_.data(), count}, last, *this);
  }
  reading_ = false;  // only now, for a receiver may ask for the next read from inside
  if (state_ != State::kOpen) return;
  if (!status.ok()) return Cut(status);
  if (!fed.ok()) return Fail(fed);
  if (count == buffer_.size() && count < kLargeBuffer) buffer_.resize(kLargeBuffer);
  ReadOn();
}

void WebSocketSession::OnChannel(int channel, std::string_view data) {
  if (state_ == State::kOpen) channels_[channel]->Deliver(data);
}

void WebSocketSession::OnChannelClosed(int channel) {
  if (state_ == State::kOpen) channels_[channel]->DeliverEnd();
}

void WebSocketSession::Push(int channel, std::string_view data, std::function<void()> sent) {
  if (state_ != State::kOpen) return;
  std::string head = EncodeChannel(protocol_, channel, data);
  queue_.Push({std::move(head), protocol_.base64 ? std::string_view() : data, std::move(sent)});
  WriteOn();
}

void WebSocketSession::WriteOn() {
  if (queue_.flying() || queue_.size() == 0 || state_ == State::kClosed) return;
  socket_->Write(
      queue_.TakeOff(1), [self = shared_from_this()](boost::system::error_code error, size_t) {
        if (self->state_ == State::kClosed) return self->queue_.DropFlying();
        if (error) {
          self->queue_.DropFlying();
          return self->Cut(absl::UnavailableError(Cat("the client has gone: ", error.message())));
        }
        self->timer_.Touch();
        self->queue_.Landed();
        self->WriteOn();
        if (self->state_ == State::kClosing && self->queue_.size() == 0) self->SayGoodBye();
      });
}

void WebSocketSession::Close() {
  if (state_ != State::kOpen) return;
  DropUser(nullptr);
  state_ = State::kClosing;
  timer_.CutAfter(context_.options.creation_timeout);
  if (queue_.size() == 0) SayGoodBye();
}

void WebSocketSession::SayGoodBye() {
  if (std::exchange(parting_, true)) return;
  timer_.CutAfter(kLinger);
  socket_->Close(code_, reason_, [self = shared_from_this()] { self->Cut(absl::OkStatus()); });
}

void WebSocketSession::Fail(const absl::Status& why) {
  if (state_ != State::kOpen) return;
  LOG_DEBUG("streaming: a WebSocket session is cut: {}", why.ToString());
  code_ = why.code() == absl::StatusCode::kInvalidArgument ? WebSocket::Code::kProtocolError
                                                           : WebSocket::Code::kPolicy;
  reason_ = std::string(why.message());
  DropUser(&why);
  if (state_ != State::kOpen) return;
  state_ = State::kClosing;
  queue_.DropWaiting();
  timer_.CutAfter(kLinger);
  if (queue_.size() == 0) SayGoodBye();
}

void WebSocketSession::Cut(const absl::Status& why) {
  if (state_ == State::kClosed) return;
  const auto self = shared_from_this();
  DropUser(&why);
  state_ = State::kClosed;
  timer_.Cancel();
  queue_.DropWaiting();
  socket_->Cut();
  context_.sessions.Remove(this);
}

void WebSocketSession::DropUser(const absl::Status* why) {
  for (const auto& channel : channels_) {
    channel->Forget();
    channel->Detach();
  }
  const auto user = std::exchange(user_, nullptr);
  if (user != nullptr && why != nullptr) user->OnClosed(*why);
}

}  // namespace crisp::stream
