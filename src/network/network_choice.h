// NetworkChoice: which network a new pod gets, now. Watches the CNI folder (inotify, on a thread of
// its own, which also asks the plugins for their STATUS) and owns both networks. Any thread;
// nothing here waits for a plugin but Open's first look.
#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "db/database.h"
#include "network/network.h"

namespace crisp {

class BridgeNetwork;
class CniNetwork;
class CniWatch;

class NetworkChoice {
 public:
  // The database must outlive this. InvalidArgument for options that contradict themselves.
  static absl::StatusOr<std::unique_ptr<NetworkChoice>> Open(const NetworkOptions& options,
                                                             Database& database);
  ~NetworkChoice();

  // For new pods. In mode "auto": CNI if its folder holds any configuration (be it broken: then Add
  // fails with the reason, rather than that pods land on another network than the administrator
  // meant), else the bridge.
  std::shared_ptr<Network> Current() const;

  // For an existing pod's Del and Check: "bridge" or "cni".
  absl::StatusOr<Network*> ByKind(std::string_view kind) const;

  // For the NetworkReady condition: Current()->Ready().
  absl::Status Ready() const;

  // CRI's pod_cidr: new pods of the built-in bridge get addresses from there. With a CNI
  // configuration, which has ranges of its own, it is logged and accepted. InvalidArgument if the
  // text is malformed; FailedPrecondition if a range cannot be used on this host.
  absl::Status SetPodCidrs(std::string_view text);

  // Both networks: frees what is held for other pods than these.
  absl::Status ReleaseAllExcept(const std::set<std::string>& pod_ids, const Call& call);

  const NetworkOptions& options() const { return options_; }

 private:
  NetworkChoice(NetworkOptions options, std::shared_ptr<BridgeNetwork> bridge,
                std::shared_ptr<CniNetwork> cni);

  const NetworkOptions options_;
  const std::shared_ptr<BridgeNetwork> bridge_;
  const std::shared_ptr<CniNetwork> cni_;
  std::unique_ptr<CniWatch> watch_;
};

}  // namespace crisp
