// NftTable: this daemon's own nftables table (inet family, named after its bridge): masquerading
// and host ports. Host ports are elements of maps, so that one more costs one element and never a
// rule. Any thread; calls into libnftables, which is not thread-safe, go one at a time. No other
// table of the host is read or changed.
//
// Host ports need no process on the host: a connection to any local address, made outside or on the
// host, is redirected in the prerouting or output hook. For 127.0.0.1 the bridge has route_localnet
// set (see BridgeSite) and the packet's source becomes the bridge's address; what pods send to
// 127.0.0.0/8 by themselves is dropped (CVE-2020-8558). IPv6 knows no such routing: [::1] does not
// reach a host port.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "kernel/ip_address.h"
#include "network/port_map.h"

struct nft_ctx;

namespace crisp {

struct NftTableOptions {
  std::string bridge;
  std::vector<IpPrefix> subnets;
  bool masquerade = true;
};

class NftTable {
 public:
  explicit NftTable(NftTableOptions options);

  const std::string& name() const { return name_; }

  // Makes the table anew with exactly these host ports, in one transaction: connections never see
  // it missing.
  absl::Status Install(const std::vector<HostPort>& ports) ABSL_LOCKS_EXCLUDED(mutex_);
  // True if the kernel still has the table (a firewall's `flush ruleset` takes it away). Costs one
  // round trip.
  absl::StatusOr<bool> Present() ABSL_LOCKS_EXCLUDED(mutex_);

  // Adds or removes elements, in one transaction. Adding what is there and removing what is not is
  // ok. NotFound from Add: the table has gone.
  absl::Status Add(const std::vector<HostPort>& ports) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Remove(const std::vector<HostPort>& ports) ABSL_LOCKS_EXCLUDED(mutex_);

  // True if the host's iptables rules (as nftables sees them) drop forwarded packets unless another
  // rule says otherwise.
  bool HostDropsForwarded() ABSL_LOCKS_EXCLUDED(mutex_);

  // Removes the table; ok if there is none.
  absl::Status Destroy() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  std::string Text(const std::vector<HostPort>& ports) const;
  std::string ElementCommand(std::string_view verb, const HostPort& port) const;
  absl::Status Run(const std::string& commands) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  struct FreeContext {
    void operator()(nft_ctx* context) const;
  };

  const NftTableOptions options_;
  const std::string name_;
  absl::Mutex mutex_;
  // Kept from call to call: closing its socket waits for an RCU grace period (some 10 ms) after
  // anything was deleted. Made anew after an error.
  std::unique_ptr<nft_ctx, FreeContext> context_ ABSL_GUARDED_BY(mutex_);
  UniqueFd question_ ABSL_GUARDED_BY(mutex_);  // Present()'s socket, kept for the same reason
};

}  // namespace crisp
