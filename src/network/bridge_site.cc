#include "network/bridge_site.h"

#include <dirent.h>

#include <algorithm>
#include <charconv>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "network/address_table.h"

namespace crisp {
namespace {

constexpr int kMostBridges = 64;
constexpr int kBlock = 32;       // candidate subnets of two bridges differ modulo this
constexpr int kFirstBlock = 80;  // 10.80.0.0/16
constexpr int kDefaultMtu = 1500;
constexpr size_t kLongestLinkName = 15;
constexpr const char* kIpv6Folder = "/proc/sys/net/ipv6/conf";

constexpr const char* kBridgeMigrations[] = {
    "CREATE TABLE network_bridge (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",
};

bool HostHasIpv6() {
  const absl::StatusOr<std::string> disabled = ReadFile(Cat(kIpv6Folder, "/all/disable_ipv6"), 16);
  return disabled.ok() && Trim(*disabled) == "0";
}

// The N of "crisp<N>", or a number made of another name.
int NumberOf(const std::string& name) {
  int number = 0;
  if (name.rfind("crisp", 0) == 0) {
    const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), number);
    if (error == std::errc() && end == name.data() + name.size() && number >= 0)
      return number % kBlock;
  }
  for (const char c : name) number = (number * 31 + static_cast<uint8_t>(c)) % 65521;
  return number % kBlock;
}

absl::Status CheckName(const std::string& name) {
  const bool valid = !name.empty() && name.size() <= kLongestLinkName && name != "." &&
                     name != ".." && std::all_of(name.begin(), name.end(), [](unsigned char c) {
                       return isalnum(c) || c == '-' || c == '_' || c == '.';
                     });
  if (valid) return absl::OkStatus();
  return absl::InvalidArgumentError(Cat("bridge name \"", name, "\" is not 1 to ", kLongestLinkName,
                                        " letters, digits, dots, dashes or underscores"));
}

std::vector<std::string> Entries(const std::string& folder) {
  std::vector<std::string> names;
  DIR* open = opendir(folder.c_str());
  if (open == nullptr) return names;
  while (const dirent* entry = readdir(open)) {
    if (entry->d_name[0] != '.') names.push_back(entry->d_name);
  }
  closedir(open);
  return names;
}

// A host that forwards IPv6 no longer listens to router advertisements unless accept_ra is 2:
// without this, switching forwarding on would cost it its own default route.
void KeepRouterAdvertisements() {
  for (const std::string& link : Entries(kIpv6Folder)) {
    const std::string path = Cat(kIpv6Folder, "/", link, "/accept_ra");
    const absl::StatusOr<std::string> value = ReadFile(path, 16);
    if (link == "all" || !value.ok() || Trim(*value) != "1") continue;
    if (const absl::Status status = WriteExisting(path, "2"); !status.ok()) {
      LOG_WARN("network: {}", status.ToString());
    }
  }
}

absl::Status PrepareHost(const std::string& bridge, bool v4, bool v6) {
  if (v4) {
    RETURN_IF_ERROR(EnsureSysctl("/proc/sys/net/ipv4/ip_forward", "1"));
    RETURN_IF_ERROR(EnsureSysctl(Cat("/proc/sys/net/ipv4/conf/", bridge, "/route_localnet"), "1"));
  }
  if (v6) {
    RETURN_IF_ERROR(EnsureSysctl(Cat(kIpv6Folder, "/", bridge, "/disable_ipv6"), "0"));
    // Pods must not be able to reroute the host (CVE-2020-10749).
    RETURN_IF_ERROR(EnsureSysctl(Cat(kIpv6Folder, "/", bridge, "/accept_ra"), "0"));
    const std::string forwarding = Cat(kIpv6Folder, "/all/forwarding");
    const absl::StatusOr<std::string> now = ReadFile(forwarding, 16);
    if (now.ok() && Trim(*now) == "0") KeepRouterAdvertisements();
    RETURN_IF_ERROR(EnsureSysctl(forwarding, "1"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<IpPrefix>> ParseSubnets(const std::vector<std::string>& texts) {
  std::vector<IpPrefix> subnets;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(IpPrefix subnet, IpPrefix::Parse(text));
    subnet = subnet.Subnet();
    if (AddressTable::Capacity(subnet) == 0) {
      return absl::InvalidArgumentError(Cat("subnet ", text, " has no room for a pod"));
    }
    for (const IpPrefix& other : subnets) {
      if (other.address.is_v4() == subnet.address.is_v4()) {
        return absl::InvalidArgumentError(
            Cat("subnets ", other.ToString(), " and ", text, " are of the same family"));
      }
    }
    subnets.push_back(subnet);
  }
  std::sort(subnets.begin(), subnets.end(), [](const IpPrefix& a, const IpPrefix& b) {
    return a.address.is_v4() > b.address.is_v4();
  });
  return subnets;
}

std::vector<IpPrefix> CandidateSubnets(int number) {
  std::vector<IpPrefix> candidates;
  for (int second = kFirstBlock + number % kBlock; second < 256; second += kBlock) {
    const char bytes[] = {10, static_cast<char>(second), 0, 0};
    candidates.push_back({IpAddress::FromBytes({bytes, 4}), 16});
  }
  return candidates;
}

absl::Status EnsureSysctl(const std::string& path, const std::string& value) {
  ASSIGN_OR_RETURN(const std::string now, ReadFile(path, 4096));
  if (Trim(now) == value) return absl::OkStatus();
  return WriteExisting(path, value);
}

absl::StatusOr<std::unique_ptr<BridgeSite>> BridgeSite::Open(const NetworkOptions& options,
                                                             Database& database) {
  if (!options.bridge.empty()) RETURN_IF_ERROR(CheckName(options.bridge));
  RETURN_IF_ERROR(ParseSubnets(options.subnets).status());
  if (options.mtu != 0 && (options.mtu < 1280 || options.mtu > 65535)) {
    return absl::InvalidArgumentError(
        Cat("MTU ", options.mtu, " does not lie between 1280 and 65535"));
  }
  RETURN_IF_ERROR(Migrate(database, "network_bridge", kBridgeMigrations));
  std::unique_ptr<BridgeSite> site(new BridgeSite(options, database));
  RETURN_IF_ERROR(site->Load());
  return site;
}

absl::Status BridgeSite::Load() {
  std::string subnets;
  RETURN_IF_ERROR(database_.Query("SELECT key, value FROM network_bridge", {}, [&](const Row& row) {
    const std::string key = row.Text(0);
    if (key == "owner") owner_ = row.Text(1);
    if (key == "name") name_ = row.Text(1);
    if (key == "subnets") subnets = row.Text(1);
    if (key == "assigned") assigned_ = row.Text(1) == "yes";
    return absl::OkStatus();
  }));
  if (owner_.empty()) {
    owner_ = RandomId().substr(0, 16);
    RETURN_IF_ERROR(database_.Run(
        "INSERT OR REPLACE INTO network_bridge (key, value) VALUES ('owner', ?)", owner_));
  }
  mac_ = {0x0a, 0x58};  // locally administered
  for (size_t i = 2; i < mac_.size(); ++i) {
    std::from_chars(owner_.data() + 2 * (i - 2), owner_.data() + 2 * (i - 1), mac_[i], 16);
  }
  // What the options name goes before what was chosen earlier.
  if (!options_.bridge.empty()) name_ = options_.bridge;
  std::vector<std::string> texts = options_.subnets;
  if (texts.empty()) {
    for (const std::string_view text : SplitWords(subnets, ' ')) texts.emplace_back(text);
  }
  assigned_ = assigned_ && options_.subnets.empty();
  ASSIGN_OR_RETURN(subnets_, ParseSubnets(texts));
  return absl::OkStatus();
}

absl::Status BridgeSite::Save() {
  std::string subnets;
  for (const IpPrefix& subnet : subnets_) subnets += Cat(subnet.ToString(), " ");
  return database_.Transaction([&](Connection& connection) -> absl::Status {
    constexpr const char* kSql = "INSERT OR REPLACE INTO network_bridge (key, value) VALUES (?, ?)";
    if (options_.bridge.empty()) RETURN_IF_ERROR(connection.Run(kSql, "name", name_));
    if (options_.subnets.empty()) {
      RETURN_IF_ERROR(connection.Run(kSql, "subnets", subnets));
      RETURN_IF_ERROR(connection.Run(kSql, "assigned", assigned_ ? "yes" : "no"));
    }
    return absl::OkStatus();
  });
}

bool BridgeSite::IsOurs(const Link& link) const {
  return link.kind == "bridge" && (link.mac == mac_ || link.alias == Alias());
}

std::string BridgeSite::Alias() const { return Cat("crispd ", owner_, " ", database_.path()); }

absl::StatusOr<bool> BridgeSite::Ensure(Netlink& netlink, const std::vector<IpPrefix>& retired) {
  if (index_ != 0) {
    ASSIGN_OR_RETURN(const std::optional<Link> link, netlink.FindLink(name_));
    if (link && link->index == index_ && link->up) return false;
  }
  ASSIGN_OR_RETURN(mtu_, ChooseMtu(netlink));
  ASSIGN_OR_RETURN(const Link link, FindOrMake(netlink));
  if (subnets_.empty()) RETURN_IF_ERROR(ChooseSubnets(netlink, link));
  if (assigned_ || !options_.subnets.empty()) {
    RETURN_IF_ERROR(CheckUnused(netlink, subnets_, link.index));
  }
  RETURN_IF_ERROR(Save());
  if (link.alias.empty()) RETURN_IF_ERROR(netlink.SetAlias(link.index, Alias()));
  std::vector<IpPrefix> addresses;
  bool v4 = false, v6 = false;
  std::vector<IpPrefix> served = subnets_;
  served.insert(served.end(), retired.begin(), retired.end());
  for (const IpPrefix& subnet : served) {
    addresses.push_back({AddressTable::Gateway(subnet), subnet.length});
    (subnet.address.is_v4() ? v4 : v6) = true;
  }
  RETURN_IF_ERROR(PrepareHost(name_, v4, v6));
  RETURN_IF_ERROR(netlink.Configure(link.index, addresses, {}));
  index_ = link.index;
  return true;
}

absl::StatusOr<std::optional<Link>> BridgeSite::Claim(Netlink& netlink, const std::string& name) {
  const absl::Status made = netlink.AddBridge(name, mac_, mtu_);
  if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  ASSIGN_OR_RETURN(const std::optional<Link> link, netlink.FindLink(name));
  if (!link) return absl::AbortedError(Cat("bridge ", name, " was removed while it was set up"));
  if (IsOurs(*link)) return link;
  // Another daemon's or a stranger's. An administrator who names a bridge may have made it himself.
  const bool named =
      !options_.bridge.empty() && link->kind == "bridge" && link->alias.rfind("crispd ", 0) != 0;
  if (named) return link;
  return std::optional<Link>();
}

absl::StatusOr<Link> BridgeSite::FindOrMake(Netlink& netlink) {
  if (!name_.empty()) {
    ASSIGN_OR_RETURN(const std::optional<Link> link, Claim(netlink, name_));
    if (link) return *link;
    if (!options_.bridge.empty()) {
      return absl::FailedPreconditionError(Cat(
          "link ", name_,
          " exists, and is no bridge or belongs to another crispd: configure another bridge name"));
    }
    LOG_WARN("network: bridge {} now belongs to somebody else; choosing another", name_);
    if (!assigned_) subnets_.clear();
  }
  for (int number = 0; number < kMostBridges; ++number) {
    const std::string name = Cat("crisp", number);
    ASSIGN_OR_RETURN(const std::optional<Link> link, Claim(netlink, name));
    if (!link) continue;
    name_ = name;
    return *link;
  }
  return absl::ResourceExhaustedError(Cat("the names crisp0 to crisp", kMostBridges - 1,
                                          " are all taken: configure a bridge name"));
}

// A subnet that an administrator or the cluster names may lie inside a wider route, but not be
// another link's own network.
absl::Status BridgeSite::CheckUnused(Netlink& netlink, const std::vector<IpPrefix>& subnets,
                                     int bridge) {
  ASSIGN_OR_RETURN(const std::vector<LinkAddress> addresses, netlink.Addresses());
  for (const IpPrefix& subnet : subnets) {
    for (const LinkAddress& taken : addresses) {
      if (taken.link == bridge || !subnet.Contains(taken.address.address)) continue;
      return absl::FailedPreconditionError(
          Cat("subnet ", subnet.ToString(), " is in use: another link has address ",
              taken.address.ToString(), "; configure or assign other subnets"));
    }
  }
  return absl::OkStatus();
}

absl::Status BridgeSite::Assign(Netlink& netlink, std::vector<IpPrefix> subnets) {
  for (const IpPrefix& subnet : subnets) {
    if (subnet.address.is_v4() || HostHasIpv6()) continue;
    return absl::FailedPreconditionError(
        Cat("subnet ", subnet.ToString(), " is of IPv6, which is disabled on this host"));
  }
  ASSIGN_OR_RETURN(const int bridge, FindIndex(netlink));
  RETURN_IF_ERROR(CheckUnused(netlink, subnets, bridge));
  Choice choice{std::move(subnets), true};
  return Replace(std::move(choice));
}

absl::Status BridgeSite::Replace(Choice choice) {
  std::swap(subnets_, choice.subnets);
  std::swap(assigned_, choice.assigned);
  const absl::Status saved = Save();
  if (!saved.ok()) {
    subnets_ = std::move(choice.subnets);
    assigned_ = choice.assigned;
    return saved;
  }
  index_ = 0;  // what stands on the host is to be looked at again
  return saved;
}

absl::StatusOr<int> BridgeSite::FindIndex(Netlink& netlink) {
  if (name_.empty()) return 0;
  ASSIGN_OR_RETURN(const std::optional<Link> link, netlink.FindLink(name_));
  return link && (IsOurs(*link) || !options_.bridge.empty()) ? link->index : 0;
}

absl::Status BridgeSite::Leave(Netlink& netlink, const IpPrefix& subnet) {
  ASSIGN_OR_RETURN(const int bridge, FindIndex(netlink));
  if (bridge == 0) return absl::OkStatus();
  const absl::Status status =
      netlink.RemoveAddress(bridge, {AddressTable::Gateway(subnet), subnet.length});
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status BridgeSite::ChooseSubnets(Netlink& netlink, const Link& bridge) {
  ASSIGN_OR_RETURN(const std::vector<Route> routes, netlink.Routes());
  ASSIGN_OR_RETURN(const std::vector<LinkAddress> addresses, netlink.Addresses());
  std::vector<IpPrefix> chosen;
  for (const IpPrefix& candidate : CandidateSubnets(NumberOf(name_))) {
    const bool routed = std::any_of(routes.begin(), routes.end(), [&](const Route& route) {
      return route.destination && route.link != bridge.index &&
             route.destination->Overlaps(candidate);
    });
    const bool used =
        std::any_of(addresses.begin(), addresses.end(), [&](const LinkAddress& taken) {
          return taken.link != bridge.index && candidate.Overlaps(taken.address);
        });
    if (routed || used) continue;
    chosen.push_back(candidate);
    break;
  }
  if (chosen.empty()) {
    return absl::ResourceExhaustedError(
        "every subnet that the built-in network could choose overlaps a route of this host: "
        "configure its subnets");
  }
  if (HostHasIpv6()) {
    // A unique local /64 (RFC 4193) of this daemon's own.
    char bytes[16] = {static_cast<char>(0xfd)};
    for (int i = 1; i < 6; ++i) {
      uint8_t byte = 0;
      std::from_chars(owner_.data() + 2 * i, owner_.data() + 2 * i + 2, byte, 16);
      bytes[i] = static_cast<char>(byte);
    }
    chosen.push_back({IpAddress::FromBytes({bytes, 16}), 64});
  }
  subnets_ = chosen;
  LOG_INFO("network: bridge {} has subnet {}", name_, chosen.front().ToString());
  return absl::OkStatus();
}

absl::StatusOr<int> BridgeSite::ChooseMtu(Netlink& netlink) const {
  if (options_.mtu != 0) return options_.mtu;
  ASSIGN_OR_RETURN(const std::vector<Route> routes, netlink.Routes());
  const Route* best = nullptr;
  for (const Route& route : routes) {
    if (route.destination && route.destination->length != 0) continue;
    if (best == nullptr ||
        std::pair(!route.is_v4, route.metric) < std::pair(!best->is_v4, best->metric))
      best = &route;
  }
  if (best == nullptr) return kDefaultMtu;
  ASSIGN_OR_RETURN(const std::vector<Link> links, netlink.Links());
  for (const Link& link : links) {
    // A loopback's 65536 or a nonsensical small one would only hurt.
    if (link.index == best->link && link.mtu >= 1280 && link.mtu <= 65535) return link.mtu;
  }
  return kDefaultMtu;
}

}  // namespace crisp
