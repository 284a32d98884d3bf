#include "network/bridge_network.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "kernel/namespace.h"

namespace crisp {
namespace {

constexpr const char* kPodLink = "eth0";
constexpr std::string_view kHostLinkPrefix = "cr";
constexpr size_t kHostLinkDigits = 12;

// A MAC address that follows from the IP address: whoever gets the address next has the same one,
// so no neighbour's cache is ever wrong.
MacAddress MacOf(const IpAddress& address) {
  const std::string_view bytes = address.bytes();
  MacAddress mac = {0x0a, 0x58};
  for (size_t i = 0; i < 4; ++i) mac[2 + i] = static_cast<uint8_t>(bytes[bytes.size() - 4 + i]);
  return mac;
}

// Inside the pod's namespace, before its link appears: no duplicate address detection (the address
// is usable at once) and no belief in routers that other pods claim to be (CVE-2020-10749). False
// if the pod's sysctls disable IPv6.
bool PrepareIpv6() {
  const absl::StatusOr<std::string> disabled =
      ReadFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", 16);
  if (!disabled.ok() || Trim(*disabled) != "0") return false;
  for (const char* name : {"accept_dad", "accept_ra"}) {
    WriteExisting(Cat("/proc/sys/net/ipv6/conf/default/", name), "0").IgnoreError();
  }
  return true;
}

// AlreadyExists if a process on the host listens where a host port shall be: the redirection would
// take its connections away. An address that the host does not have (yet) is no objection.
absl::Status CheckNobodyListens(const HostPort& port) {
  const bool tcp = port.protocol == "tcp";
  const int type = port.protocol == "udp" ? SOCK_DGRAM : SOCK_STREAM;
  UniqueFd fd(socket(port.host_ip.family(), type | SOCK_CLOEXEC,
                     port.protocol == "sctp" ? IPPROTO_SCTP : 0));
  if (!fd.valid()) return absl::OkStatus();  // a protocol that this host does not have
  const int one = 1;
  if (tcp)
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one,
               sizeof(one));  // old connections do not count
  sockaddr_storage address = {};
  socklen_t size = sizeof(sockaddr_in);
  if (port.host_ip.is_v4()) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port.host_port));
    std::memcpy(&v4->sin_addr, port.host_ip.bytes().data(), 4);
  } else {
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port.host_port));
    std::memcpy(&v6->sin6_addr, port.host_ip.bytes().data(), 16);
    size = sizeof(sockaddr_in6);
  }
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 || errno != EADDRINUSE) {
    return absl::OkStatus();
  }
  return absl::AlreadyExistsError(
      Cat("host port ", port.ToString(), " is in use by a process on this host"));
}

absl::StatusOr<UniqueFd> OpenNetns(const PodNetworkRequest& request) {
  absl::StatusOr<UniqueFd> netns = OpenFile(request.netns_path, O_RDONLY);
  if (!netns.ok())
    return Annotate(netns.status(), Cat("network namespace of pod ", request.pod_id));
  return netns;
}

std::string StateText(const std::string& bridge, const std::vector<IpPrefix>& addresses) {
  Json list = Json::array();
  for (const IpPrefix& address : addresses) list.push_back(address.ToString());
  return JsonText({{"bridge", bridge}, {"addresses", list}});
}

}  // namespace

absl::StatusOr<std::shared_ptr<BridgeNetwork>> BridgeNetwork::Open(const NetworkOptions& options,
                                                                   Database& database) {
  ASSIGN_OR_RETURN(auto site, BridgeSite::Open(options, database));
  ASSIGN_OR_RETURN(auto addresses, AddressTable::Open(database));
  ASSIGN_OR_RETURN(auto ports, PortMapTable::Open(database));
  ASSIGN_OR_RETURN(Netlink netlink, Netlink::Open());
  return std::shared_ptr<BridgeNetwork>(new BridgeNetwork(
      options, std::move(site), std::move(addresses), std::move(ports), std::move(netlink)));
}

BridgeNetwork::BridgeNetwork(const NetworkOptions& options, std::unique_ptr<BridgeSite> site,
                             std::unique_ptr<AddressTable> addresses,
                             std::unique_ptr<PortMapTable> ports, Netlink netlink)
    : options_(options),
      addresses_(std::move(addresses)),
      ports_(std::move(ports)),
      site_(std::move(site)),
      netlink_(std::move(netlink)) {}

std::string BridgeNetwork::HostLinkName(const std::string& pod_id) {
  std::string digits = pod_id;
  if (pod_id.size() < kHostLinkDigits || !IsHex(pod_id)) {
    uint64_t hash = 14695981039346656037u;  // FNV-1a
    for (const char c : pod_id) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
    digits = Hex({reinterpret_cast<const char*>(&hash), sizeof(hash)});
  }
  return Cat(kHostLinkPrefix, std::string_view(digits).substr(0, kHostLinkDigits));
}

absl::Status BridgeNetwork::Prepare() {
  absl::MutexLock lock(&mutex_);
  return PrepareLocked();
}

absl::Status BridgeNetwork::PrepareLocked() {
  const std::vector<IpPrefix> retired = Retired();
  absl::StatusOr<bool> made = site_->Ensure(netlink_, retired);
  if (!made.ok()) return Annotate(made.status(), "the built-in network");
  bool filter_stands = !*made && filter_ != nullptr;
  if (filter_stands) {
    ASSIGN_OR_RETURN(filter_stands, filter_->Present());
    if (!filter_stands)
      LOG_WARN("network: somebody removed table {}; making it anew", filter_->name());
  }
  if (filter_stands) return absl::OkStatus();
  std::vector<IpPrefix> served = site_->subnets();
  served.insert(served.end(), retired.begin(), retired.end());
  filter_ = std::make_unique<NftTable>(NftTableOptions{site_->name(), served, options_.masquerade});
  if (const absl::Status status = filter_->Install(ports_->All()); !status.ok()) {
    filter_.reset();
    return Annotate(status, "the built-in network");
  }
  if (filter_->HostDropsForwarded()) {
    LOG_WARN(
        "network: this host's iptables FORWARD chain drops by default (Docker sets that): pods "
        "reach the host and each "
        "other, but nothing beyond. To allow it: iptables -I FORWARD -i {0} -j ACCEPT; iptables -I "
        "FORWARD -o {0} -j ACCEPT",
        site_->name());
  }
  return *made ? Reattach() : absl::OkStatus();
}

std::vector<IpPrefix> BridgeNetwork::Retired() {
  std::vector<IpPrefix> retired = addresses_->PoolsInUse();
  const std::vector<IpPrefix>& current = site_->subnets();
  std::erase_if(retired, [&](const IpPrefix& pool) {
    return std::find(current.begin(), current.end(), pool) != current.end();
  });
  return retired;
}

bool BridgeNetwork::LeaveUnused(const std::vector<IpPrefix>& subnets) {
  bool any = false;
  std::vector<IpPrefix> needed = addresses_->PoolsInUse();
  needed.insert(needed.end(), site_->subnets().begin(), site_->subnets().end());
  for (const IpPrefix& subnet : subnets) {
    if (std::find(needed.begin(), needed.end(), subnet) != needed.end()) continue;
    LOG_INFO("network: no pod lives in subnet {} any more", subnet.ToString());
    if (const absl::Status status = site_->Leave(netlink_, subnet); !status.ok()) {
      LOG_WARN("network: {}", status.ToString());
    }
    any = true;
  }
  return any;
}

absl::Status BridgeNetwork::SetPodCidrs(const std::vector<IpPrefix>& subnets) {
  absl::MutexLock lock(&mutex_);
  if (!options_.subnets.empty()) {
    LOG_INFO("network: the cluster's pod ranges are not used: the configuration names subnets");
    return absl::OkStatus();
  }
  const BridgeSite::Choice before = site_->choice();
  if (before.assigned && before.subnets == subnets) return absl::OkStatus();
  const bool stands = site_->index() != 0;
  RETURN_IF_ERROR(site_->Assign(netlink_, subnets));
  if (stands) {
    if (const absl::Status status = PrepareLocked(); !status.ok()) {
      RETURN_IF_ERROR(site_->Replace(before));
      return status;
    }
  }
  for (const IpPrefix& subnet : subnets) {
    LOG_INFO("network: new pods get addresses from {}, as the cluster says", subnet.ToString());
  }
  LeaveUnused(before.subnets);
  return absl::OkStatus();
}

absl::Status BridgeNetwork::Reattach() {
  for (const std::string& pod : addresses_->Pods()) {
    const std::string name = HostLinkName(pod);
    ASSIGN_OR_RETURN(const std::optional<Link> link, netlink_.FindLink(name));
    if (!link || link->kind != "veth" || link->master == site_->index()) continue;
    const absl::Status status = netlink_.SetMaster(link->index, site_->index());
    if (!status.ok() && !absl::IsNotFound(status)) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<BridgeNetwork::Plan> BridgeNetwork::PlanFor(const std::string& pod_id) {
  // Under the lock: a subnet is not taken down between the choice and the entry in the table.
  absl::MutexLock lock(&mutex_);
  const std::vector<IpPrefix>& subnets = site_->subnets();
  ASSIGN_OR_RETURN(const std::vector<IpAddress> addresses, addresses_->Allocate(pod_id, subnets));
  Plan plan;
  for (size_t i = 0; i < subnets.size(); ++i) {
    plan.addresses.push_back({addresses[i], subnets[i].length});
    plan.gateways.push_back(AddressTable::Gateway(subnets[i]));
  }
  plan.mac = MacOf(addresses.front());
  return plan;
}

absl::StatusOr<PodNetworkResult> BridgeNetwork::Add(const PodNetworkRequest& request,
                                                    const Call& call) {
  RETURN_IF_ERROR(call.Check());
  ASSIGN_OR_RETURN(const UniqueFd netns, OpenNetns(request));
  RETURN_IF_ERROR(Prepare());
  ASSIGN_OR_RETURN(Plan plan, PlanFor(request.pod_id));
  absl::Cleanup undo = [&] {
    DeleteHostLink(HostLinkName(request.pod_id)).IgnoreError();
    Forget(request.pod_id).IgnoreError();
  };
  RETURN_IF_ERROR(Connect(request, plan, netns.get()));
  RETURN_IF_ERROR(OpenPorts(request, plan));
  std::move(undo).Cancel();
  ForgetFlowsBefore(ports_->OfPod(request.pod_id));

  PodNetworkResult result;
  for (const IpPrefix& address : plan.addresses) result.ips.push_back(address.address.ToString());
  absl::MutexLock lock(&mutex_);
  result.state_json = StateText(site_->name(), plan.addresses);
  return result;
}

void BridgeNetwork::Plan::DropIpv6() {
  std::erase_if(addresses, [](const IpPrefix& prefix) { return !prefix.address.is_v4(); });
  std::erase_if(gateways, [](const IpAddress& gateway) { return !gateway.is_v4(); });
}

absl::Status BridgeNetwork::Connect(const PodNetworkRequest& request, Plan& plan, int netns) {
  VethRequest veth;
  veth.host_name = HostLinkName(request.pod_id);
  veth.pod_netns = netns;
  veth.pod_name = kPodLink;
  veth.pod_mac = plan.mac;
  return InNamespace(netns, [&]() -> absl::Status {
    if (!PrepareIpv6()) plan.DropIpv6();
    if (plan.addresses.empty()) {
      return absl::FailedPreconditionError(
          Cat("network of pod ", request.pod_id,
              ": the pod's sysctls disable IPv6, and the bridge has only that"));
    }
    {
      absl::MutexLock lock(&mutex_);
      if (site_->index() == 0) RETURN_IF_ERROR(PrepareLocked());
      for (int tries = 1;; ++tries) {
        veth.bridge = site_->index();
        veth.mtu = site_->mtu();
        const absl::Status status = netlink_.AddVeth(veth);
        if (status.ok()) break;
        if (tries > 1) return Annotate(status, Cat("network of pod ", request.pod_id));
        // What an interrupted Add of this pod left is replaced.
        if (absl::IsAlreadyExists(status)) {
          ASSIGN_OR_RETURN(const std::optional<Link> old, netlink_.FindLink(veth.host_name));
          if (old && old->kind == "veth") netlink_.DeleteLink(old->index).IgnoreError();
        } else {
          RETURN_IF_ERROR(PrepareLocked());  // the bridge may just have been deleted
        }
      }
    }
    ASSIGN_OR_RETURN(Netlink inside, Netlink::Open());
    ASSIGN_OR_RETURN(const std::optional<Link> link, inside.FindLink(kPodLink));
    if (!link)
      return absl::AbortedError(
          Cat("network of pod ", request.pod_id, ": its eth0 was taken away"));
    const absl::Status status = inside.Configure(link->index, plan.addresses, plan.gateways);
    return status.ok() ? status : Annotate(status, Cat("network of pod ", request.pod_id));
  });
}

absl::Status BridgeNetwork::OpenPorts(const PodNetworkRequest& request, const Plan& plan) {
  std::vector<IpAddress> addresses;
  for (const IpPrefix& address : plan.addresses) addresses.push_back(address.address);
  // One lock around table and packet filter: a rebuild of the filter sees both or neither.
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(ClosePorts(request.pod_id));  // of an interrupted Add
  ASSIGN_OR_RETURN(const std::vector<HostPort> ports,
                   ports_->Claim(request.pod_id, request.ports, addresses));
  if (ports.empty()) return absl::OkStatus();
  for (const HostPort& port : ports) RETURN_IF_ERROR(CheckNobodyListens(port));
  if (filter_ == nullptr) RETURN_IF_ERROR(PrepareLocked());  // a subnet was left meanwhile
  absl::Status status = filter_->Add(ports);
  // The table may have been flushed this very moment.
  if (absl::IsNotFound(status)) status = filter_->Install(ports_->All());
  return status.ok() ? status : Annotate(status, Cat("host ports of pod ", request.pod_id));
}

absl::Status BridgeNetwork::ClosePorts(const std::string& pod_id) {
  const std::vector<HostPort> ports = ports_->OfPod(pod_id);
  if (ports.empty()) return absl::OkStatus();
  // After a restart the table still stands, though this process has not made it.
  if (filter_ == nullptr) RETURN_IF_ERROR(PrepareLocked());
  RETURN_IF_ERROR(filter_->Remove(ports));
  return ports_->Release(pod_id);
}

absl::Status BridgeNetwork::Forget(const std::string& pod_id) {
  const std::vector<HostPort> ports = ports_->OfPod(pod_id);
  {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(ClosePorts(pod_id));
  }
  ForgetFlowsTo(ports);
  const std::vector<IpPrefix> pools = addresses_->PoolsOf(pod_id);
  RETURN_IF_ERROR(addresses_->Release(pod_id));
  if (pools.empty()) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  if (LeaveUnused(pools)) filter_.reset();  // made anew without the subnet at the next Prepare
  return absl::OkStatus();
}

void BridgeNetwork::ForgetFlows(
    const std::vector<HostPort>& ports,
    const std::function<bool(const HostPort&, const Conntrack::Flow&)>& stale) {
  for (const int family : {AF_INET, AF_INET6}) {
    std::vector<HostPort> wanted = ports;
    std::erase_if(wanted, [&](const HostPort& port) {
      return port.protocol != "udp" || port.host_ip.family() != family;
    });
    if (wanted.empty()) continue;
    const auto forgotten = conntrack_.ForgetUdp(family, [&](const Conntrack::Flow& flow) {
      return std::any_of(wanted.begin(), wanted.end(), [&](const HostPort& port) {
        return flow.to_port == port.host_port &&
               (port.host_ip.IsAny() || port.host_ip == flow.to) && stale(port, flow);
      });
    });
    if (!forgotten.ok()) {
      LOG_WARN("network: old flows of host port {} may stay where they were for a while: {}",
               wanted.front().ToString(), forgotten.status().ToString());
    }
  }
}

void BridgeNetwork::ForgetFlowsTo(const std::vector<HostPort>& closed) {
  ForgetFlows(closed, [](const HostPort& port, const Conntrack::Flow& flow) {
    return flow.answerer == port.target && flow.answer_port == port.container_port;
  });
}

void BridgeNetwork::ForgetFlowsBefore(const std::vector<HostPort>& opened) {
  const bool any = std::any_of(opened.begin(), opened.end(),
                               [](const HostPort& port) { return port.protocol == "udp"; });
  if (!any) return;
  std::set<IpAddress> own;
  {
    absl::MutexLock lock(&mutex_);
    const auto addresses = netlink_.Addresses();
    if (!addresses.ok()) return;
    for (const LinkAddress& address : *addresses) own.insert(address.address.address);
  }
  ForgetFlows(opened, [&](const HostPort&, const Conntrack::Flow& flow) {
    return flow.answerer == flow.to && own.contains(flow.to);
  });
}

absl::Status BridgeNetwork::DeleteHostLink(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const std::optional<Link> link, netlink_.FindLink(name));
  if (!link || link->kind != "veth") return absl::OkStatus();
  const absl::Status status = netlink_.DeleteLink(link->index);
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status BridgeNetwork::Del(const PodNetworkRequest& request, const std::string&, const Call&) {
  if (addresses_->Holds(request.pod_id)) {
    // The link itself goes with the namespace. Until then it must not speak with an address that is
    // somebody else's.
    absl::MutexLock lock(&mutex_);
    netlink_.DisablePort(HostLinkName(request.pod_id)).IgnoreError();
  }
  const absl::Status status = Forget(request.pod_id);
  return status.ok() ? status
                     : Annotate(status, Cat("taking down the network of pod ", request.pod_id));
}

absl::Status BridgeNetwork::Check(const PodNetworkRequest& request, const std::string& state_json,
                                  const Call& call) {
  RETURN_IF_ERROR(call.Check());
  const auto broken = [&](std::string_view why) {
    return absl::FailedPreconditionError(Cat("network of pod ", request.pod_id, ": ", why));
  };
  ASSIGN_OR_RETURN(const Json state,
                   ParseJson(state_json, Cat("network state of pod ", request.pod_id)));
  ASSIGN_OR_RETURN(const UniqueFd netns, OpenNetns(request));
  RETURN_IF_ERROR(Prepare());
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(const std::optional<Link> link,
                     netlink_.FindLink(HostLinkName(request.pod_id)));
    if (!link || !link->up) return broken("its link on the host is missing or down");
    if (link->master != site_->index())
      return broken(Cat("its link on the host is no port of ", site_->name()));
  }
  return InNamespace(netns.get(), [&]() -> absl::Status {
    ASSIGN_OR_RETURN(Netlink inside, Netlink::Open());
    ASSIGN_OR_RETURN(const std::optional<Link> link, inside.FindLink(kPodLink));
    if (!link || !link->up) return broken("its eth0 is missing or down");
    ASSIGN_OR_RETURN(const std::vector<LinkAddress> present, inside.Addresses(link->index));
    const Json* wanted = JsonMember(state, "addresses");
    if (wanted == nullptr || !wanted->is_array()) return broken("its recorded state is damaged");
    for (const Json& text : *wanted) {
      const bool there = text.is_string() &&
                         std::any_of(present.begin(), present.end(), [&](const LinkAddress& one) {
                           return one.address.ToString() == text.get_ref<const std::string&>();
                         });
      if (!there) return broken(Cat("address ", JsonText(text), " is missing"));
    }
    return absl::OkStatus();
  });
}

absl::Status BridgeNetwork::ReleaseAllExcept(const std::set<std::string>& pod_ids,
                                             const Call& call) {
  std::set<std::string> known;
  for (const std::string& pod : addresses_->Pods()) known.insert(pod);
  for (const std::string& pod : ports_->Pods()) known.insert(pod);
  absl::Status first_error;
  for (const std::string& pod : known) {
    if (pod_ids.count(pod) != 0) continue;
    RETURN_IF_ERROR(call.Check());
    LOG_INFO("network: releasing what is left of pod {}", pod);
    absl::Status status = DeleteHostLink(HostLinkName(pod));
    if (status.ok()) status = Forget(pod);
    if (first_error.ok()) first_error = status;
  }
  return first_error;
}

}  // namespace crisp
