#include "stream/remote_command.h"

#include <fcntl.h>

#include "base/log.h"
#include "base/status.h"
#include "stream/exit_status.h"

namespace crisp::stream {
namespace {

// A terminal's last output may still be on its way through the kernel when its process has ended.
constexpr absl::Duration kTerminalGrace = absl::Milliseconds(100);

// Clients send a terminal's size once they know that its stream is there, and programs ask for it
// as soon as they run. A client without a terminal of its own sends none.
constexpr absl::Duration kSizePatience = absl::Milliseconds(100);

}  // namespace

RemoteCommandUser::RemoteCommandUser(ServerContext& context, std::shared_ptr<Session> session,
                                     CommandJob job)
    : context_(context), session_(std::move(session)), job_(std::move(job)), alarm_(context.loop) {}

void RemoteCommandUser::Await() {
  alarm_.Set(context_.options.creation_timeout, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self == nullptr || self->session_ == nullptr) return;
    self->session_->Fail(absl::DeadlineExceededError(
        "the client did not open the streams that its request asked for in time"));
  });
}

void RemoteCommandUser::Begin(CommandChannels channels) {
  channels_ = std::move(channels);
  Prepare();
}

bool RemoteCommandUser::OnStream(std::shared_ptr<ClientStream> stream, const SpdyHeaders& headers) {
  const std::string_view type = SpdyHeader(headers, "streamtype");
  const CommandRequest& request = job_.request;
  std::shared_ptr<ClientStream>* place = nullptr;
  if (type == "error") place = &channels_.error;
  if (type == "stdin" && request.in) place = &channels_.in;
  if (type == "stdout" && request.out) place = &channels_.out;
  if (type == "stderr" && request.err) place = &channels_.err;
  if (type == "resize" && request.tty) place = &channels_.resize;
  if (begun_ || place == nullptr || *place != nullptr) return false;
  *place = std::move(stream);
  const auto self = shared_from_this();
  if (Complete()) Prepare();
  return true;
}

bool RemoteCommandUser::Complete() const {
  const CommandRequest& request = job_.request;
  const bool resizes = request.tty && job_.protocol_version >= 3;
  return channels_.error && (!request.in || channels_.in) && (!request.out || channels_.out) &&
         (!request.err || channels_.err) && (!resizes || channels_.resize);
}

void RemoteCommandUser::Prepare() {
  begun_ = true;
  // The end of the client's error stream means nothing.
  channels_.error->Receive(nullptr, nullptr, nullptr);
  const auto resize = channels_.resize;
  awaits_size_ = resize != nullptr && !job_.attach;
  if (awaits_size_) {
    alarm_.Set(kSizePatience, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self != nullptr && self->awaits_size_) self->StartCommand();
    });
  }
  const bool now = !awaits_size_;
  // Held here: a size that is nonsense ends the session while the stream hands it over.
  if (resize != nullptr) {
    resize->Receive([this](std::string_view data) { OnResizeData(data); }, nullptr, nullptr);
  }
  if (now) StartCommand();
}

void RemoteCommandUser::StartCommand() {
  awaits_size_ = false;
  alarm_.Cancel();
  if (session_ == nullptr) return;
  if (!job_.attach) job_.request.size = std::exchange(wanted_size_, {}).value_or(TerminalSize());
  Workers::Task task = [&context = context_, job = job_, gone = gone_,
                        self = shared_from_this()]() mutable {
    const Call call = BackendCall(context, gone);
    Started command = job.attach ? context.backend.StartAttach(job.request, call)
                                 : context.backend.StartExec(job.request, call);
    context.loop.Post([self = std::move(self), command = std::move(command)]() mutable {
      self->OnStarted(std::move(command));
    });
  };
  if (!context_.workers.Run(task)) {
    Finish(absl::ResourceExhaustedError(
        "too many streaming sessions are being started; try again later"));
  }
}

void RemoteCommandUser::OnStarted(Started command) {
  if (command.ok()) command_ = *std::move(command);
  if (session_ == nullptr) return LetGo();
  if (command_ == nullptr) return Finish(command.status());
  ConnectStreams(command_->TakeStreams());
  if (session_ == nullptr) return;
  Resize();
  const int ended = ::fcntl(command_->ended(), F_DUPFD_CLOEXEC, 0);
  if (ended < 0) return Finish(ErrnoStatus("watch the command's end"));
  ended_ = std::make_unique<FdWatch>(context_.loop, UniqueFd(ended));
  ended_->WhenReadable([self = shared_from_this()] { self->OnCommandEnded(); });
}

void RemoteCommandUser::ConnectStreams(CommandStreams streams) {
  std::shared_ptr<FdWatch> in, out;
  if (streams.terminal.valid()) {
    terminal_ = true;
    in = out = std::make_shared<FdWatch>(context_.loop, std::move(streams.terminal));
  }
  if (streams.in.valid()) in = std::make_shared<FdWatch>(context_.loop, std::move(streams.in));
  if (streams.out.valid()) out = std::make_shared<FdWatch>(context_.loop, std::move(streams.out));
  if (in != nullptr) ConnectInput(in, terminal_);
  if (out != nullptr) out_ = Connect(out, channels_.out);
  if (streams.err.valid()) {
    err_ = Connect(std::make_shared<FdWatch>(context_.loop, std::move(streams.err)), channels_.err);
  }
}

void RemoteCommandUser::ConnectInput(std::shared_ptr<FdWatch> to, bool terminal) {
  in_ = std::make_shared<FdWriter>(to, session_, nullptr);
  if (channels_.in == nullptr) return;
  // A terminal has no end of input other than the character that the user types.
  auto end = [writer = in_, to, terminal] {
    if (!terminal) writer->Finish([to] { to->Close(); });
  };
  channels_.in->Receive([writer = in_](std::string_view data) { writer->Write(data); }, end, end);
}

std::shared_ptr<FdPump> RemoteCommandUser::Connect(std::shared_ptr<FdWatch> from,
                                                   std::shared_ptr<ClientStream> to) {
  auto on_end = [weak = weak_from_this(), to] {
    if (to != nullptr) to->Finish();
    if (const auto self = weak.lock()) self->MaybeFinish();
  };
  auto pump = std::make_shared<FdPump>(std::move(from), to, on_end);
  if (to == nullptr) {
    pump->Discard();
  } else {
    to->Receive(nullptr, nullptr, [pump] { pump->Discard(); });
  }
  pump->Start();
  return pump;
}

void RemoteCommandUser::OnResizeData(std::string_view data) {
  const auto size = sizes_.Feed(data);
  if (!size.ok()) {
    if (session_ != nullptr) session_->Fail(size.status());
    return;
  }
  if (!size->has_value()) return;
  wanted_size_ = **size;
  awaits_size_ ? StartCommand() : Resize();
}

void RemoteCommandUser::Resize() {
  // One at a time; of those that come meanwhile only the last matters.
  if (resizing_ || !wanted_size_ || command_ == nullptr || outcome_) return;
  resizing_ = true;
  Workers::Task task = [&context = context_, command = command_, size = *wanted_size_,
                        self = shared_from_this()]() mutable {
    const absl::Status status = command->Resize(size.width, size.height);
    if (!status.ok()) LOG_DEBUG("streaming: {}", status.ToString());
    context.loop.Post([self = std::move(self), command = std::move(command)]() mutable {
      self->resizing_ = false;
      if (self->session_ == nullptr) {
        self->command_ = std::move(command);
        return self->LetGo();
      }
      self->Resize();
    });
  };
  wanted_size_.reset();
  if (!context_.workers.Run(task)) resizing_ = false;
}

void RemoteCommandUser::OnCommandEnded() {
  ended_->Close();
  // The code may be in the monitor's hands still.
  context_.workers.RunAlways(
      [&context = context_, command = command_, self = shared_from_this()]() mutable {
        absl::StatusOr<int> code = command->ExitCode();
        context.loop.Post([self = std::move(self), command = std::move(command),
                           code = std::move(code)]() mutable {
          if (self->session_ == nullptr) {
            self->command_ = std::move(command);
            return self->LetGo();
          }
          self->outcome_ = std::move(code);
          const absl::Duration grace = self->terminal_ ? kTerminalGrace : absl::ZeroDuration();
          const auto out = self->out_, err = self->err_;
          if (out != nullptr) out->StopAfterWaiting(grace, self->context_.loop);
          if (err != nullptr) err->StopAfterWaiting(grace, self->context_.loop);
          self->MaybeFinish();
        });
      });
}

void RemoteCommandUser::MaybeFinish() {
  if (!outcome_ || session_ == nullptr) return;
  if (out_ != nullptr && !out_->ended()) return;
  if (err_ != nullptr && !err_->ended()) return;
  Finish(*outcome_);
}

void RemoteCommandUser::Finish(const absl::StatusOr<int>& outcome) {
  const auto self = shared_from_this();  // the session's Close drops us
  const auto session = std::exchange(session_, nullptr);
  if (session == nullptr) return;
  for (const auto& stream : {channels_.out, channels_.err}) {
    if (stream != nullptr) stream->Finish();
  }
  if (std::string text = ExitStatusText(job_.protocol_version, outcome); !text.empty())
    channels_.error->SendText(std::move(text));
  channels_.error->Finish();
  session->Close();
  LetGo();
}

void RemoteCommandUser::OnClosed(const absl::Status& why) {
  LOG_DEBUG("streaming: container {}: the session ended: {}", job_.request.container_id,
            why.ToString());
  session_ = nullptr;
  LetGo();
}

void RemoteCommandUser::LetGo() {
  *gone_ = true;
  awaits_size_ = false;
  alarm_.Cancel();
  if (ended_ != nullptr) ended_->Close();
  if (out_ != nullptr) out_->Close();
  if (err_ != nullptr) err_->Close();
  if (in_ != nullptr) in_->Close();
  channels_ = {};
  // A worker that still has the command brings it back here.
  if (command_ == nullptr) return;
  context_.workers.RunAlways(
      [command = std::exchange(command_, nullptr)]() mutable { command = nullptr; });
}

}  // namespace crisp::stream
