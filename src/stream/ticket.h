// TicketTable: the single-use tokens in streaming URLs. A ticket remembers what an RPC was asked
// for until the client comes with its token, within a minute; whoever holds the token may do that
// one thing once, so tokens come from the kernel's random source. Any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "stream/backend.h"

namespace crisp {

struct ExecTicket {
  CommandRequest request;
};
struct AttachTicket {
  CommandRequest request;
};
struct PortForwardTicket {
  std::string pod_id;
  std::vector<uint16_t> ports;  // empty: any
};
using Ticket = std::variant<ExecTicket, AttachTicket, PortForwardTicket>;

class TicketTable {
 public:
  static constexpr absl::Duration kLife = absl::Minutes(1);
  static constexpr size_t kMaxPending = 1000;

  TicketTable() : TicketTable(absl::Now) {}
  // With a clock of a test's.
  explicit TicketTable(std::function<absl::Time()> now) : now_(std::move(now)) {}

  // A new token: 24 characters of base64url. ResourceExhausted while kMaxPending wait to be used.
  absl::StatusOr<std::string> Issue(Ticket ticket);

  // The ticket, once. NotFound if the token is unknown, used or expired; nobody can tell which.
  absl::StatusOr<Ticket> Redeem(const std::string& token);

 private:
  struct Pending {
    Ticket ticket;
    absl::Time expires;
  };
  void DropExpired(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::function<absl::Time()> now_;
  absl::Mutex mutex_;
  std::unordered_map<std::string, Pending> pending_ ABSL_GUARDED_BY(mutex_);
  // Tokens by the time of their issue, used ones included until they would have expired.
  std::deque<std::string> order_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp
