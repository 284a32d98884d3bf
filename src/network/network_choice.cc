#include "network/network_choice.h"

#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "network/bridge_network.h"
#include "network/cni_network.h"
#include "network/cni_watch.h"
#include "network/pod_cidrs.h"

namespace crisp {

absl::StatusOr<std::unique_ptr<NetworkChoice>> NetworkChoice::Open(const NetworkOptions& options,
                                                                   Database& database) {
  if (options.mode != "auto" && options.mode != "bridge" && options.mode != "cni") {
    return absl::InvalidArgumentError(
        Cat("network mode \"", options.mode, "\" is none of auto, bridge, cni"));
  }
  ASSIGN_OR_RETURN(std::shared_ptr<BridgeNetwork> bridge, BridgeNetwork::Open(options, database));
  ASSIGN_OR_RETURN(std::shared_ptr<CniNetwork> cni, CniNetwork::Open(options, database));
  std::unique_ptr<NetworkChoice> choice(
      new NetworkChoice(options, std::move(bridge), std::move(cni)));
  if (options.mode != "bridge") {
    ASSIGN_OR_RETURN(choice->watch_, CniWatch::Start(options.cni_conf_dir, choice->cni_));
  }
  return choice;
}

NetworkChoice::NetworkChoice(NetworkOptions options, std::shared_ptr<BridgeNetwork> bridge,
                             std::shared_ptr<CniNetwork> cni)
    : options_(std::move(options)), bridge_(std::move(bridge)), cni_(std::move(cni)) {}

NetworkChoice::~NetworkChoice() = default;

std::shared_ptr<Network> NetworkChoice::Current() const {
  const bool cni = options_.mode == "cni" || (options_.mode == "auto" && watch_->any_file());
  return cni ? std::shared_ptr<Network>(cni_) : std::shared_ptr<Network>(bridge_);
}

absl::StatusOr<Network*> NetworkChoice::ByKind(std::string_view kind) const {
  if (kind == bridge_->kind()) return bridge_.get();
  if (kind == cni_->kind()) return cni_.get();
  return absl::InvalidArgumentError(Cat("\"", kind, "\" is no kind of network"));
}

absl::Status NetworkChoice::SetPodCidrs(std::string_view text) {
  ASSIGN_OR_RETURN(const std::vector<IpPrefix> subnets, ParsePodCidrs(text));
  if (Current()->kind() == bridge_->kind()) return bridge_->SetPodCidrs(subnets);
  LOG_INFO("network: pod range {} of the cluster is left to the CNI configuration", text);
  return absl::OkStatus();
}

absl::Status NetworkChoice::Ready() const { return Current()->Ready(); }

absl::Status NetworkChoice::ReleaseAllExcept(const std::set<std::string>& pod_ids,
                                             const Call& call) {
  const absl::Status bridge = bridge_->ReleaseAllExcept(pod_ids, call);
  const absl::Status cni = cni_->ReleaseAllExcept(pod_ids, call);
  return bridge.ok() ? cni : bridge;
}

}  // namespace crisp
