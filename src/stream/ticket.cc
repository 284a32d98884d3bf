#include "stream/ticket.h"

#include <sys/random.h>

#include "absl/strings/escaping.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr size_t kTokenBytes = 18;

absl::StatusOr<std::string> RandomToken() {
  char bytes[kTokenBytes];
  if (::getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes))
    return ErrnoStatus("make a streaming token: getrandom");
  std::string token;
  absl::WebSafeBase64Escape(absl::string_view(bytes, sizeof bytes), &token);
  return token;
}

}  // namespace

absl::StatusOr<std::string> TicketTable::Issue(Ticket ticket) {
  ASSIGN_OR_RETURN(std::string token, RandomToken());
  absl::MutexLock lock(&mutex_);
  const absl::Time now = now_();
  DropExpired(now);
  if (pending_.size() >= kMaxPending) {
    return absl::ResourceExhaustedError(
        Cat(kMaxPending, " streaming URLs wait to be used; each expires after ",
            absl::ToInt64Seconds(kLife), " seconds, so try again later"));
  }
  // Every use leaves a token in order_; a client that issues and uses without pause must not grow
  // it.
  if (order_.size() >= 4 * kMaxPending)
    std::erase_if(order_, [&](const std::string& each)
                              ABSL_NO_THREAD_SAFETY_ANALYSIS { return !pending_.contains(each); });
  order_.push_back(token);
  pending_.emplace(token, Pending{std::move(ticket), now + kLife});
  return token;
}

absl::StatusOr<Ticket> TicketTable::Redeem(const std::string& token) {
  absl::MutexLock lock(&mutex_);
  DropExpired(now_());
  auto node = pending_.extract(token);
  if (node.empty()) {
    return absl::NotFoundError(
        "the token of this streaming URL is unknown, was used, or has expired");
  }
  return std::move(node.mapped().ticket);
}

void TicketTable::DropExpired(absl::Time now) {
  while (!order_.empty()) {
    const auto found = pending_.find(order_.front());
    if (found != pending_.end()) {
      if (found->second.expires > now) return;
      pending_.erase(found);
    }
    order_.pop_front();
  }
}

}  // namespace crisp
