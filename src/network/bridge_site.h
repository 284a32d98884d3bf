// BridgeSite: the bridge of this daemon on this host: which name and subnets it has, and that it
// really stands. The choice is made once, kept in the database, and tied to a random owner token
// that marks the bridge (in its MAC address from the first instant, in its alias for people), so
// that several daemons on one host keep apart. Not thread-safe: BridgeNetwork serialises.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "db/database.h"
#include "kernel/ip_address.h"
#include "kernel/netlink.h"
#include "network/network.h"

namespace crisp {

class BridgeSite {
 public:
  // Reads the earlier choice and checks the options; touches nothing of the host's yet.
  static absl::StatusOr<std::unique_ptr<BridgeSite>> Open(const NetworkOptions& options,
                                                          Database& database);

  // Makes sure that the bridge stands, up and with its addresses, and that the host forwards. True
  // if anything had to be made: then ports and packet filter rules are to be put back as well. One
  // round trip to the kernel if all is well. retired: subnets of before that pods still live in.
  absl::StatusOr<bool> Ensure(Netlink& netlink, const std::vector<IpPrefix>& retired);

  // Which subnets new pods get addresses from, and whether the cluster said so.
  struct Choice {
    std::vector<IpPrefix> subnets;
    bool assigned = false;
  };
  Choice choice() const { return {subnets_, assigned_}; }
  // Takes the cluster's subnets, also for the time after a restart; the next Ensure brings the
  // bridge up to date. FailedPrecondition, and nothing changed, if one is another link's network or
  // of a family that the host lacks.
  absl::Status Assign(Netlink& netlink, std::vector<IpPrefix> subnets);
  // Goes back to an earlier choice.
  absl::Status Replace(Choice choice);
  // Takes the gateway's address of a subnet that no pod lives in any more off the bridge.
  absl::Status Leave(Netlink& netlink, const IpPrefix& subnet);

  // Valid after Ensure() succeeded.
  const std::string& name() const { return name_; }
  int index() const { return index_; }
  int mtu() const { return mtu_; }
  const std::vector<IpPrefix>& subnets() const { return subnets_; }  // IPv4 first

 private:
  BridgeSite(NetworkOptions options, Database& database)
      : options_(std::move(options)), database_(database) {}
  absl::Status Load();
  absl::Status Save();
  bool IsOurs(const Link& link) const;
  std::string Alias() const;
  absl::StatusOr<Link> FindOrMake(Netlink& netlink);
  absl::StatusOr<std::optional<Link>> Claim(Netlink& netlink, const std::string& name);
  absl::Status ChooseSubnets(Netlink& netlink, const Link& bridge);
  static absl::Status CheckUnused(Netlink& netlink, const std::vector<IpPrefix>& subnets,
                                  int bridge);
  absl::StatusOr<int> FindIndex(Netlink& netlink);  // 0: no bridge of ours stands
  absl::StatusOr<int> ChooseMtu(Netlink& netlink) const;

  const NetworkOptions options_;
  Database& database_;
  std::string owner_;  // 16 hex digits
  MacAddress mac_ = {};
  std::string name_;
  std::vector<IpPrefix> subnets_;
  bool assigned_ = false;  // subnets_ came by Assign
  int index_ = 0;
  int mtu_ = 1500;
};

// At most one subnet of each family, with room for a pod; IPv4 first.
absl::StatusOr<std::vector<IpPrefix>> ParseSubnets(const std::vector<std::string>& texts);

// The subnets that a bridge called crisp<number> tries in turn; no two numbers below 32 share one,
// so that daemons that start together cannot choose the same.
std::vector<IpPrefix> CandidateSubnets(int number);

// Writes a sysctl of the host unless it has that value already (/proc/sys may be read-only and yet
// right).
absl::Status EnsureSysctl(const std::string& path, const std::string& value);

}  // namespace crisp
