#include "stream/session.h"

#include <utility>

namespace crisp::stream {

void ClientStream::SendText(std::string text) {
  auto kept = std::make_shared<std::string>(std::move(text));
  Send(*kept, [kept] {});
}

void ClientStream::Receive(std::function<void(std::string_view)> on_data,
                           std::function<void()> on_end, std::function<void()> on_reset) {
  const auto receivers = std::make_shared<const Receivers>(
      Receivers{std::move(on_data), std::move(on_end), std::move(on_reset)});
  if (session_ != nullptr) receivers_ = receivers;
  receiving_ = true;
  const std::string early = std::exchange(early_, {});
  if (!early.empty() && receivers->on_data) receivers->on_data(early);
  if (std::exchange(holding_, false) && session_ != nullptr) session_->ReleaseReading();
  if (reset_) {
    if (receivers->on_reset) receivers->on_reset();
  } else if (ended_) {
    if (receivers->on_end) receivers->on_end();
  }
}

void ClientStream::Forget() {
  receiving_ = true;
  receivers_ = nullptr;
  early_.clear();
  if (std::exchange(holding_, false) && session_ != nullptr) session_->ReleaseReading();
}

void ClientStream::Unlink() {
  receivers_ = nullptr;
  if (std::exchange(holding_, false) && session_ != nullptr) session_->ReleaseReading();
  session_ = nullptr;
}

void ClientStream::Deliver(std::string_view data) {
  if (receiving_) {
    const auto receivers = receivers_;
    if (receivers != nullptr && receivers->on_data) receivers->on_data(data);
    return;
  }
  early_.append(data);
  if (early_.size() > kMaxWaiting / 4 && !holding_ && session_ != nullptr) {
    holding_ = true;
    session_->HoldReading();
  }
}

void ClientStream::DeliverEnd() {
  if (std::exchange(ended_, true)) return;
  const auto receivers = receivers_;
  if (receivers != nullptr && receivers->on_end) receivers->on_end();
}

void ClientStream::DeliverReset() {
  if (std::exchange(reset_, true)) return;
  const auto receivers = receivers_;
  if (receivers != nullptr && receivers->on_reset) receivers->on_reset();
}

}  // namespace crisp::stream
