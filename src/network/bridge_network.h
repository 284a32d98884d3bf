// BridgeNetwork: the built-in network. Every pod gets a veth pair into one bridge, addresses from
// SQLite, default routes, masquerading and host ports; no program is run. Any thread. What the
// kernel holds can be rebuilt from the database at any time, and is, when somebody deleted the
// bridge or flushed the packet filter.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "db/database.h"
#include "kernel/conntrack.h"
#include "kernel/netlink.h"
#include "network/address_table.h"
#include "network/bridge_site.h"
#include "network/network.h"
#include "network/nft_table.h"
#include "network/port_map.h"

namespace crisp {

class BridgeNetwork : public Network {
 public:
  // The database must outlive this. Nothing of the host's is touched before the first Add.
  static absl::StatusOr<std::shared_ptr<BridgeNetwork>> Open(const NetworkOptions& options,
                                                             Database& database);

  std::string_view kind() const override { return "bridge"; }
  absl::StatusOr<PodNetworkResult> Add(const PodNetworkRequest& request, const Call& call) override;
  absl::Status Del(const PodNetworkRequest& request, const std::string& state_json,
                   const Call& call) override;
  absl::Status Check(const PodNetworkRequest& request, const std::string& state_json,
                     const Call& call) override;
  absl::Status ReleaseAllExcept(const std::set<std::string>& pod_ids, const Call& call) override;
  absl::Status Ready() const override { return absl::OkStatus(); }

  // New pods get addresses from these subnets (of ParsePodCidrs), also after a restart; pods that
  // exist keep theirs. Subnets that the configuration names go before them: then this is ok and
  // changes nothing.
  absl::Status SetPodCidrs(const std::vector<IpPrefix>& subnets) ABSL_LOCKS_EXCLUDED(mutex_);

  // The host's end of a pod's veth pair.
  static std::string HostLinkName(const std::string& pod_id);

 private:
  // A pod's network as it shall be.
  struct Plan {
    void DropIpv6();

    std::vector<IpPrefix> addresses;
    std::vector<IpAddress> gateways;
    MacAddress mac = {};
  };

  BridgeNetwork(const NetworkOptions& options, std::unique_ptr<BridgeSite> site,
                std::unique_ptr<AddressTable> addresses, std::unique_ptr<PortMapTable> ports,
                Netlink netlink);
  absl::Status Prepare() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status PrepareLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Subnets that new pods get no address from, but old ones have.
  std::vector<IpPrefix> Retired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes those of the subnets down that are retired and no longer in use; true if any was.
  bool LeaveUnused(const std::vector<IpPrefix>& subnets) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Reattach() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Plan> PlanFor(const std::string& pod_id) ABSL_LOCKS_EXCLUDED(mutex_);
  // Drops IPv6 from the plan if the pod has it disabled.
  absl::Status Connect(const PodNetworkRequest& request, Plan& plan, int netns)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status OpenPorts(const PodNetworkRequest& request, const Plan& plan)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status ClosePorts(const std::string& pod_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Forget(const std::string& pod_id) ABSL_LOCKS_EXCLUDED(mutex_);
  // UDP flows that began before these host ports were opened, at the host itself, or that are still
  // redirected after they were closed. Best effort.
  void ForgetFlowsBefore(const std::vector<HostPort>& opened) ABSL_LOCKS_EXCLUDED(mutex_);
  void ForgetFlowsTo(const std::vector<HostPort>& closed);
  void ForgetFlows(const std::vector<HostPort>& ports,
                   const std::function<bool(const HostPort&, const Conntrack::Flow&)>& stale);
  absl::Status DeleteHostLink(const std::string& name) ABSL_LOCKS_EXCLUDED(mutex_);

  const NetworkOptions options_;
  const std::unique_ptr<AddressTable> addresses_;
  const std::unique_ptr<PortMapTable> ports_;
  Conntrack conntrack_;
  absl::Mutex mutex_;  // held for a few round trips to the kernel, never across waiting
  std::unique_ptr<BridgeSite> site_ ABSL_GUARDED_BY(mutex_);
  Netlink netlink_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<NftTable> filter_ ABSL_GUARDED_BY(mutex_);  // null before the first Prepare
};

}  // namespace crisp
