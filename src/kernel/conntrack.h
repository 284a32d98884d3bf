// Conntrack: the kernel's table of connections (ctnetlink), as far as the host's port redirections
// need it: a UDP flow stays with the pod that it was once redirected to for as long as packets
// come, whatever the rules say by then, so it must be forgotten by hand. Any thread; one call at a
// time holds the lock while it reads the table. The socket is kept: closing one of netfilter's can
// wait for an RCU grace period.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "kernel/ip_address.h"

namespace crisp {

class Conntrack {
 public:
  // One UDP flow: where its packets were sent to, and who answers them (somebody else if they
  // are redirected).
  struct Flow {
    IpAddress to;
    uint16_t to_port = 0;
    IpAddress answerer;
    uint16_t answer_port = 0;
  };

  // In the network namespace of the thread that calls it first.
  Conntrack() = default;

  // Forgets every UDP flow of this family (AF_INET, AF_INET6) that `stale` is true for; returns how
  // many. Looks at up to 2^18 entries and forgets up to 2^14; ResourceExhausted beyond. An error if
  // the kernel has no connection tracking.
  absl::StatusOr<int> ForgetUdp(int family, const std::function<bool(const Flow&)>& stale)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Mutex mutex_;
  UniqueFd socket_ ABSL_GUARDED_BY(mutex_);
  uint32_t sequence_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace crisp
