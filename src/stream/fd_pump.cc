#include "stream/fd_pump.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace crisp::stream {

void FdPump::Read() {
  if (ended_ || sending_ > 0) return;
  if (stopping_ && left_ == 0 && grace_ == absl::ZeroDuration()) return End();
  wanted_ = std::clamp(wanted_, kSmallBuffer, kLargeBuffer);
  if (buffer_.size() < wanted_) buffer_.resize(wanted_);
  ssize_t count;
  do {
    count = ::read(from_->fd(), buffer_.data(), buffer_.size());
  } while (count < 0 && errno == EINTR);
  if (count < 0 && errno == EAGAIN) {
    if (stopping_ && grace_ == absl::ZeroDuration()) return End();
    // What waits idle holds no large buffer.
    if (buffer_.size() > kSmallBuffer) std::vector<char>().swap(buffer_);
    wanted_ = kSmallBuffer;
    from_->WhenReadable([self = shared_from_this()] { self->Read(); });
    return;
  }
  if (count <= 0) return End();  // its end; for a terminal that is EIO
  if (static_cast<size_t>(count) == buffer_.size() && buffer_.size() < kLargeBuffer) {
    wanted_ = buffer_.size() * 4;
    if (wanted_ >= kLargeBuffer) ::fcntl(from_->fd(), F_SETPIPE_SZ, kLargeBuffer);  // if a pipe
  }
  sending_ = static_cast<size_t>(count);
  auto sent = [self = shared_from_this(), count] { self->Sent(static_cast<size_t>(count)); };
  if (discard_) {
    sending_ = 0;
    from_->WhenReadable(std::move(sent));
  } else {
    to_->Send({buffer_.data(), static_cast<size_t>(count)}, std::move(sent));
  }
}

void FdPump::Sent(size_t count) {
  sending_ = 0;
  left_ -= std::min<uint64_t>(left_, count);
  Read();
}

void FdPump::StopAfterWaiting(absl::Duration grace, Loop& loop) {
  if (ended_ || (stopping_ && grace_ == absl::ZeroDuration())) return;
  stopping_ = true;
  grace_ = grace;
  if (grace != absl::ZeroDuration()) {
    alarm_ = std::make_unique<Alarm>(loop);
    alarm_->Set(grace, [self = shared_from_this(), &loop] {
      self->stopping_ = false;
      self->StopAfterWaiting(absl::ZeroDuration(), loop);
    });
    return;
  }
  int waiting = 0;
  ::ioctl(from_->fd(), FIONREAD, &waiting);
  left_ = static_cast<uint64_t>(std::max(waiting, 0)) + sending_;
  if (sending_ == 0) Read();
}

void FdPump::End() {
  if (std::exchange(ended_, true)) return;
  if (alarm_ != nullptr) alarm_->Cancel();
  const auto on_end = std::exchange(on_end_, nullptr);
  if (on_end) on_end();
}

void FdPump::Close() {
  ended_ = true;
  on_end_ = nullptr;
  if (alarm_ != nullptr) alarm_->Cancel();
  from_->Close();
}

size_t FdWriter::TryWrite(std::string_view data) {
  size_t total = 0;
  while (total < data.size()) {
    const ssize_t count = ::write(to_->fd(), data.data() + total, data.size() - total);
    if (count >= 0) {
      total += static_cast<size_t>(count);
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      return SIZE_MAX;
    }
  }
  return total;
}

void FdWriter::Write(std::string_view data) {
  if (broken_ || data.empty()) return;
  if (waiting_.empty()) {
    size_t count = TryWrite(data);
    if (count < data.size() && !std::exchange(enlarged_, true) &&
        ::fcntl(to_->fd(), F_SETPIPE_SZ, kLargeBuffer) > 0) {
      // A pipe of the usual size would cut large frames into pieces to be kept here.
      const size_t more = TryWrite(data.substr(count));
      count = more == SIZE_MAX ? more : count + more;
    }
    if (count == SIZE_MAX) return Break();
    data.remove_prefix(count);
    if (data.empty()) return;
    to_->WhenWritable([self = shared_from_this()] { self->Flush(); });
  }
  waiting_.append(data);
  if (waiting_.size() - written_ > kMaxWaiting) Hold(true);
}

void FdWriter::Flush() {
  if (broken_) return;
  const size_t count = TryWrite(std::string_view(waiting_).substr(written_));
  if (count == SIZE_MAX) return Break();
  written_ += count;
  if (written_ < waiting_.size()) {
    to_->WhenWritable([self = shared_from_this()] { self->Flush(); });
    return;
  }
  if (waiting_.capacity() > kMaxWaiting / 4) {
    std::string().swap(waiting_);
  } else {
    waiting_.clear();
  }
  written_ = 0;
  const auto then = std::exchange(then_, nullptr);
  Hold(false);
  if (then) then();
}

void FdWriter::Finish(std::function<void()> then) {
  if (broken_ || waiting_.empty()) return then();
  then_ = std::move(then);
}

void FdWriter::Break() {
  if (std::exchange(broken_, true)) return;
  std::string().swap(waiting_);
  const auto then = std::exchange(then_, nullptr);
  const auto on_broken = std::exchange(on_broken_, nullptr);
  Hold(false);
  if (on_broken) on_broken();
  if (then) then();
}

void FdWriter::Close() {
  on_broken_ = then_ = nullptr;
  broken_ = true;
  std::string().swap(waiting_);
  Hold(false);
  session_ = nullptr;
  to_->Close();
}

void FdWriter::Hold(bool hold) {
  if (session_ == nullptr || std::exchange(holding_, hold) == hold) return;
  if (hold) {
    session_->HoldReading();
  } else {
    session_->ReleaseReading();
  }
}

}  // namespace crisp::stream
