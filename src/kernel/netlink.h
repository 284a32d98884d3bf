// Netlink: links, addresses and routes of one network namespace, over one rtnetlink socket
// (messages are built and read by libnl). The socket belongs to the namespace of the thread that
// opened it, whichever thread uses it later. Not thread-safe: one thread at a time. Every call is
// one round trip to the kernel and never waits for anything but it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "kernel/ip_address.h"

struct nl_msg;
struct nlmsghdr;

namespace crisp {

using MacAddress = std::array<uint8_t, 6>;

struct Link {
  int index = 0;
  std::string name;
  std::string kind;   // "bridge", "veth", ...; empty for physical ones
  std::string alias;  // ifalias
  MacAddress mac = {};
  int mtu = 0;
  int master = 0;  // index of the bridge, or 0
  int peer = 0;    // a veth's other end, by its index in its own namespace
  bool up = false;
};

struct Route {
  std::optional<IpPrefix> destination;  // none: the default route
  bool is_v4 = true;
  int link = 0;
  uint32_t metric = 0;
};

struct LinkAddress {
  int link = 0;
  IpPrefix address;
};

struct VethRequest {
  std::string host_name;
  int bridge = 0;  // index
  int mtu = 0;
  int pod_netns = -1;
  std::string pod_name;  // "eth0"
  MacAddress pod_mac = {};
};

class Netlink {
 public:
  // In the calling thread's network namespace.
  static absl::StatusOr<Netlink> Open();

  absl::StatusOr<std::optional<Link>> FindLink(const std::string& name);
  absl::StatusOr<std::vector<Link>> Links();
  absl::StatusOr<std::vector<LinkAddress>> Addresses(int link = 0);  // 0: of all links
  absl::StatusOr<std::vector<Route>> Routes();                       // of the main table

  // A bridge, up, without STP or multicast snooping. AlreadyExists if the name is taken.
  absl::Status AddBridge(const std::string& name, const MacAddress& mac, int mtu);
  absl::Status SetAlias(int link, const std::string& alias);
  absl::Status SetUp(int link);
  absl::Status SetMaster(int link, int bridge);
  // Both ends up, the pod's end made inside its namespace, the host's end a port of the bridge in
  // hairpin mode: one round trip. AlreadyExists if either name is taken.
  absl::Status AddVeth(const VethRequest& request);
  // Stops a bridge port at once, both ways, without taking it away (which is slow).
  absl::Status DisablePort(const std::string& name);
  // NotFound if it has gone.
  absl::Status DeleteLink(int link);

  // Adds what is missing; IPv6 addresses without duplicate address detection, hence usable at once.
  // Routes: default routes through these gateways.
  absl::Status Configure(int link, const std::vector<IpPrefix>& addresses,
                         const std::vector<IpAddress>& gateways);

  // NotFound if it is not there.
  absl::Status RemoveAddress(int link, const IpPrefix& address);

 private:
  struct FreeMessage {
    void operator()(nl_msg* message) const;
  };
  using Message = std::unique_ptr<nl_msg, FreeMessage>;

  explicit Netlink(UniqueFd socket) : socket_(std::move(socket)) {}
  static absl::StatusOr<Message> NewMessage(int type, int flags);
  absl::Status Send(std::string_view data);
  // Sends the messages as one datagram and waits for every acknowledgement; the first error counts.
  absl::Status Run(std::vector<Message> messages, std::string_view what);
  absl::Status Run(Message message, std::string_view what);
  // Sends a request and calls see for every answer, until the end of the dump or the
  // acknowledgement.
  absl::Status Ask(Message message, std::string_view what,
                   const std::function<void(nlmsghdr*)>& see);

  UniqueFd socket_;
  uint32_t sequence_ = 0;
};

}  // namespace crisp
