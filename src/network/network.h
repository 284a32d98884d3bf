// Network: what gives a pod's network namespace its interface and addresses. Two kinds:
// BridgeNetwork (built in) and CniNetwork (the standard plugin chain); NetworkChoice picks. Any
// thread; calls for different pods run side by side, calls for one pod must not overlap.
// Implementations keep what they hand out in the database or in files, so that a Del after a crash
// or a restart finds it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/call.h"
#include "base/json.h"

namespace crisp {

// One host port of a pod. Only entries with host_port > 0 have an effect.
struct PortMap {
  std::string protocol = "tcp";  // "tcp", "udp" or "sctp"
  int container_port = 0;
  int host_port = 0;
  std::string
      host_ip;  // empty: every address of the host; "0.0.0.0", "::": every one of that family
};

struct PodNetworkRequest {
  std::string pod_id;
  std::string name;
  std::string ns;
  std::string uid;
  std::string netns_path;  // may name nothing any more in Del
  std::vector<PortMap> ports;
  std::map<std::string, std::string> annotations;
  Json dns;                   // {"servers": [], "searches": [], "options": []} or null
  std::string cgroup_parent;  // for CNI's cgroupPath capability
};

struct PodNetworkResult {
  std::vector<std::string> ips;  // without prefix length; the primary first, IPv4 preferred
  std::string state_json;        // to be kept with the pod and handed to Del and Check
};

class Network {
 public:
  virtual ~Network() = default;

  // "bridge" or "cni": to be kept with the pod, for NetworkChoice::ByKind.
  virtual std::string_view kind() const = 0;

  // Sets the pod's network up. A repeated Add for the same pod, also after a crash in the first
  // one, gives the same addresses. After an error nothing is left of it, but a Del is welcome.
  virtual absl::StatusOr<PodNetworkResult> Add(const PodNetworkRequest& request,
                                               const Call& call) = 0;

  // Takes it down. Ok if there is nothing (left) to take down; state_json may be empty if Add never
  // returned. Does not wait for the kernel to take interfaces away: that happens when the
  // namespace's pin goes.
  virtual absl::Status Del(const PodNetworkRequest& request, const std::string& state_json,
                           const Call& call) = 0;

  // Ok if the pod's interface and addresses are as Add left them.
  virtual absl::Status Check(const PodNetworkRequest& request, const std::string& state_json,
                             const Call& call) = 0;

  // Frees whatever is held for pods that are not in the set: to be called once after recovery.
  virtual absl::Status ReleaseAllExcept(const std::set<std::string>& pod_ids, const Call& call) = 0;

  // Ok, or the reason why pods cannot get a network now, for the NetworkReady condition. Never
  // waits.
  virtual absl::Status Ready() const = 0;
};

struct NetworkOptions {
  // "auto": CNI as soon as its folder holds a configuration, the bridge until then; "bridge";
  // "cni".
  std::string mode = "auto";

  // The built-in bridge.
  std::string bridge;  // name; empty: crisp0, crisp1, ... whatever is free
  std::vector<std::string>
      subnets;  // empty: a free 10.x.0.0/16 and an fd../64; at most one of each family
  bool masquerade = true;
  int mtu = 0;  // 0: that of the default route's link

  // CNI.
  std::string cni_conf_dir = "/etc/cni/net.d";
  std::vector<std::string> cni_bin_dirs = {"/opt/cni/bin", "/usr/lib/cni"};
  std::string cni_cache_dir = "/var/lib/cni";  // results are kept in <dir>/results

  std::string netns_dir = "/run/netns";
};

}  // namespace crisp
