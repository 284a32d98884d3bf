#include "stream/spdy_session.h"

#include "base/log.h"
#include "base/status.h"

namespace crisp::stream {
namespace {

constexpr size_t kFramesInOneWrite = 16;
constexpr size_t kMaxUnsent = 256;  // frames; a client that provokes more is read no further
constexpr uint32_t kGoAwayOk = 0, kGoAwayProtocolError = 1;

}  // namespace

class SpdySession::Stream final : public ClientStream {
 public:
  Stream(SpdySession* session, uint32_t id) : ClientStream(session), spdy_(session), id_(id) {}

  void Send(std::string_view data, std::function<void()> sent) override {
    if (spdy_ == nullptr || finished_ || reset_) return;
    EnsureReply();
    spdy_->Push(SpdyDataHead(id_, data.size(), false), data, std::move(sent));
  }
  void Finish() override {
    if (spdy_ == nullptr || finished_ || reset_) return;
    EnsureReply();
    finished_ = true;
    spdy_->Push(SpdyDataHead(id_, 0, true));
    if (client_finished_) spdy_->EndStream(id_);
  }
  void Reset() override { ResetWith(SpdyReset::kCancel); }

  void ResetWith(SpdyReset status) {
    if (spdy_ == nullptr || reset_) return;
    reset_ = true;
    spdy_->Push(SpdyRstStream(id_, status));
    spdy_->EndStream(id_);
  }
  void EnsureReply() {
    if (!std::exchange(replied_, true)) spdy_->Push(SpdySynReply(id_, spdy_->encoder_.Encode({})));
  }
  void OnClientFin() {
    client_finished_ = true;
    DeliverEnd();
    if (finished_ && spdy_ != nullptr) spdy_->EndStream(id_);
  }
  void OnClientReset() {
    reset_ = true;
    DeliverReset();
    if (spdy_ != nullptr) spdy_->EndStream(id_);
  }
  bool client_finished() const { return client_finished_; }
  void Detach() {
    Unlink();
    spdy_ = nullptr;
  }

 private:
  SpdySession* spdy_;  // null after its end
  const uint32_t id_;
  bool replied_ = false, finished_ = false, client_finished_ = false, reset_ = false;
};

SpdySession::SpdySession(ServerContext& context, std::shared_ptr<ByteStream> bytes)
    : context_(context),
      bytes_(std::move(bytes)),
      timer_(context.loop, context.options.idle_timeout) {}

SpdySession::~SpdySession() {
  for (auto& [id, stream] : streams_) stream->Detach();
}

void SpdySession::Start(std::shared_ptr<SessionUser> user) {
  user_ = std::move(user);
  context_.sessions.Add(shared_from_this());
  timer_.Watch(weak_from_this());
  ReadOn();
}

void SpdySession::ReadOn() {
  if (reading_ || state_ == State::kClosed || (held() && state_ == State::kOpen)) return;
  reading_ = true;
  if (buffer_.empty()) buffer_.resize(kSmallBuffer);
  bytes_->ReadSome(
      buffer_.data(), buffer_.size(),
      [self = shared_from_this()](boost::system::error_code error, size_t count) {
        self->OnRead(error ? absl::UnavailableError(Cat("the client has gone: ", error.message()))
                           : absl::OkStatus(),
                     count);
      });
}

void SpdySession::OnRead(const absl::Status& status, size_t count) {
  absl::Status fed;
  const bool open = state_ == State::kOpen && status.ok();
  if (open) {
    timer_.Touch();
    fed = frames_.Feed({buffer_.data(), count}, *this);
  }
  reading_ = false;  // only now, for a receiver may ask for the next read from inside
  if (state_ == State::kClosed) return;
  if (!status.ok()) return Cut(status);
  if (!fed.ok()) return Fail(fed);
  // A client with much to say gets a large buffer.
  if (open && count == buffer_.size() && count < kLargeBuffer) buffer_.resize(kLargeBuffer);
  ReadOn();
}

absl::Status SpdySession::OnControl(SpdyType type, uint8_t flags, std::string_view payload) {
  switch (type) {
    case SpdyType::kSynStream:
      return OnSynStream(flags, payload);
    case SpdyType::kSynReply:
    case SpdyType::kHeaders:
      return OnHeaders(flags, payload);
    case SpdyType::kRstStream:
      return OnReset(payload);
    case SpdyType::kPing:
      if (payload.size() < 4) return absl::InvalidArgumentError("a SPDY PING without an id");
      if (const uint32_t id = SpdyNumber(payload); id % 2 == 1) Push(SpdyPing(id));
      return absl::OkStatus();
    case SpdyType::kGoAway:
      gone_away_ = true;
      return absl::OkStatus();
    case SpdyType::kSettings:
    case SpdyType::kNoop:
    case SpdyType::kWindowUpdate:
      return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      Cat("a SPDY control frame of the unknown type ", static_cast<int>(type)));
}

absl::Status SpdySession::OnSynStream(uint8_t flags, std::string_view payload) {
  if (payload.size() < 10) return absl::InvalidArgumentError("a SPDY SYN_STREAM cut short");
  const uint32_t id = SpdyNumber(payload) & 0x7fffffff;
  ASSIGN_OR_RETURN(const SpdyHeaders headers, decoder_.Decode(payload.substr(10)));
  if (id % 2 == 0 || id <= last_stream_) {
    return absl::InvalidArgumentError(
        Cat("a SPDY SYN_STREAM with the id ", id, " after ", last_stream_));
  }
  last_stream_ = id;
  if (state_ != State::kOpen || gone_away_) return absl::OkStatus();
  if (streams_.size() >= kMaxStreams) {
    Push(SpdyRstStream(id, SpdyReset::kRefused));
    return absl::OkStatus();
  }
  const auto stream = std::make_shared<Stream>(this, id);
  streams_.emplace(id, stream);
  if (!user_->OnStream(stream, headers)) {
    stream->Forget();
    stream->ResetWith(SpdyReset::kRefused);
    return absl::OkStatus();
  }
  if (!streams_.contains(id)) return absl::OkStatus();
  stream->EnsureReply();
  if ((flags & kSpdyFin) != 0) stream->OnClientFin();
  return absl::OkStatus();
}

absl::Status SpdySession::OnHeaders(uint8_t flags, std::string_view payload) {
  if (payload.size() < 4) return absl::InvalidArgumentError("SPDY headers cut short");
  // Decoded for the sake of the compression; they say nothing that we need.
  RETURN_IF_ERROR(decoder_.Decode(payload.substr(4)).status());
  const auto found = streams_.find(SpdyNumber(payload) & 0x7fffffff);
  if (found != streams_.end() && (flags & kSpdyFin) != 0) {
    const auto stream = found->second;
    stream->OnClientFin();
  }
  return absl::OkStatus();
}

absl::Status SpdySession::OnReset(std::string_view payload) {
  if (payload.size() < 8) return absl::InvalidArgumentError("a SPDY RST_STREAM cut short");
  const auto found = streams_.find(SpdyNumber(payload) & 0x7fffffff);
  if (found == streams_.end()) return absl::OkStatus();
  const auto stream = found->second;
  stream->OnClientReset();
  return absl::OkStatus();
}

absl::Status SpdySession::OnData(uint32_t id, std::string_view piece, bool fin) {
  if (state_ != State::kOpen) return absl::OkStatus();
  const auto found = streams_.find(id);
  if (found == streams_.end()) {
    // A stream that has ended may have had data under way; one that never was is a mistake.
    if ((id % 2 == 0 || id > last_stream_) && id != std::exchange(unknown_stream_, id))
      Push(SpdyRstStream(id, SpdyReset::kInvalidStream));
    return absl::OkStatus();
  }
  const auto stream = found->second;
  if (stream->client_finished()) {
    stream->DeliverReset();
    stream->ResetWith(SpdyReset::kProtocolError);
    return absl::OkStatus();
  }
  if (!piece.empty()) stream->Deliver(piece);
  if (fin) stream->OnClientFin();
  return absl::OkStatus();
}

void SpdySession::EndStream(uint32_t id) {
  const auto node = streams_.extract(id);
  if (!node.empty()) node.mapped()->Detach();
}

void SpdySession::Push(std::string head, std::string_view body, std::function<void()> sent) {
  if (state_ == State::kClosed) return;
  queue_.Push({std::move(head), body, std::move(sent)});
  if (queue_.size() > kMaxUnsent && !std::exchange(choked_, true)) HoldReading();
  WriteOn();
}

void SpdySession::WriteOn() {
  if (queue_.flying() || queue_.size() == 0 || state_ == State::kClosed) return;
  bytes_->Write(queue_.TakeOff(kFramesInOneWrite), [self = shared_from_this()](
                                                       boost::system::error_code error, size_t) {
    if (self->state_ == State::kClosed) return self->queue_.DropFlying();
    if (error) {
      self->queue_.DropFlying();
      self->Cut(absl::UnavailableError(Cat("the client has gone: ", error.message())));
      return;
    }
    self->timer_.Touch();
    self->queue_.Landed();
    if (self->choked_ && self->queue_.size() < kMaxUnsent / 2) {
      self->choked_ = false;
      self->ReleaseReading();
    }
    self->WriteOn();
    if (self->state_ == State::kClosing && self->queue_.size() == 0) self->FinishClosing();
  });
}

void SpdySession::Close() {
  if (state_ != State::kOpen) return;
  Push(SpdyGoAway(last_stream_, kGoAwayOk));
  DropUser(nullptr);
  state_ = State::kClosing;
  // A client that reads no more is given until here for all that still waits.
  timer_.CutAfter(context_.options.creation_timeout);
  ReadOn();
}

void SpdySession::FinishClosing() {
  if (failed_ && queue_.size() == 0) bytes_->Finish();
  timer_.CutAfter(kLinger);
}

void SpdySession::Fail(const absl::Status& why) {
  if (state_ != State::kOpen) return Cut(why);
  LOG_DEBUG("streaming: a SPDY session is cut: {}", why.ToString());
  Push(SpdyGoAway(last_stream_, kGoAwayProtocolError));
  DropUser(&why);
  if (state_ != State::kOpen) return;
  state_ = State::kClosing;
  failed_ = true;
  FinishClosing();
  ReadOn();
}

void SpdySession::Cut(const absl::Status& why) {
  if (state_ == State::kClosed) return;
  const auto self = shared_from_this();
  DropUser(&why);
  state_ = State::kClosed;
  timer_.Cancel();
  queue_.DropWaiting();
  bytes_->Close();
  context_.sessions.Remove(this);
}

void SpdySession::DropUser(const absl::Status* why) {
  const auto streams = std::exchange(streams_, {});
  for (const auto& [id, stream] : streams) {
    stream->Forget();
    stream->Detach();
  }
  const auto user = std::exchange(user_, nullptr);
  if (user != nullptr && why != nullptr) user->OnClosed(*why);
}

}  // namespace crisp::stream
