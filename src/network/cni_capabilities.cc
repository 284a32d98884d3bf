// What CniNetwork hands to plugins as runtimeConfig.
#include <charconv>

#include "base/status.h"
#include "base/text.h"
#include "network/cni_network.h"

namespace crisp {
namespace {

constexpr const char* kIngress = "kubernetes.io/ingress-bandwidth";
constexpr const char* kEgress = "kubernetes.io/egress-bandwidth";
constexpr int64_t kUnlimitedBurst = 2147483647;
constexpr double kLeast = 1e3;
constexpr double kMost = 1e15;

// The factor of a quantity's suffix; 0 if it is none.
double Factor(std::string_view suffix) {
  constexpr std::pair<std::string_view, double> kFactors[] = {{"", 1},
                                                              {"m", 1e-3},
                                                              {"k", 1e3},
                                                              {"M", 1e6},
                                                              {"G", 1e9},
                                                              {"T", 1e12},
                                                              {"P", 1e15},
                                                              {"E", 1e18},
                                                              {"Ki", 1024.0},
                                                              {"Mi", 1048576.0},
                                                              {"Gi", 1073741824.0},
                                                              {"Ti", 1099511627776.0},
                                                              {"Pi", 1125899906842624.0}};
  for (const auto& [name, factor] : kFactors) {
    if (name == suffix) return factor;
  }
  return 0;
}

absl::StatusOr<Json> Bandwidth(const std::map<std::string, std::string>& annotations) {
  Json bandwidth = Json::object();
  for (const auto& [annotation, direction] :
       {std::pair(kIngress, "ingress"), std::pair(kEgress, "egress")}) {
    const auto found = annotations.find(annotation);
    if (found == annotations.end()) continue;
    const absl::StatusOr<int64_t> rate = ParseBandwidth(found->second);
    if (!rate.ok()) return Annotate(rate.status(), Cat("annotation ", annotation));
    bandwidth[Cat(direction, "Rate")] = *rate;
    bandwidth[Cat(direction, "Burst")] = kUnlimitedBurst;
  }
  return bandwidth;
}

}  // namespace

absl::StatusOr<int64_t> ParseBandwidth(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view suffix(end, static_cast<size_t>(text.data() + text.size() - end));
  const double rate = error == std::errc() ? number * Factor(suffix) : 0;
  if (rate >= kLeast && rate <= kMost) return static_cast<int64_t>(rate);
  return absl::InvalidArgumentError(
      Cat("\"", text.substr(0, 64), "\" is no bandwidth between 1k and 1P"));
}

absl::StatusOr<Json> CniCapabilityArgs(const PodNetworkRequest& request) {
  Json args = Json::object();
  Json ports = Json::array();
  for (const PortMap& port : request.ports) {
    if (port.host_port <= 0) continue;
    Json entry = {{"hostPort", port.host_port},
                  {"containerPort", port.container_port},
                  {"protocol", port.protocol}};
    if (!port.host_ip.empty()) entry["hostIP"] = port.host_ip;
    ports.push_back(std::move(entry));
  }
  if (!ports.empty()) args["portMappings"] = std::move(ports);
  ASSIGN_OR_RETURN(Json bandwidth, Bandwidth(request.annotations));
  if (!bandwidth.empty()) args["bandwidth"] = std::move(bandwidth);
  if (request.dns.is_object()) args["dns"] = request.dns;
  if (!request.cgroup_parent.empty()) args["cgroupPath"] = request.cgroup_parent;
  if (!request.annotations.empty()) args["io.kubernetes.cri.pod-annotations"] = request.annotations;
  return args;
}

}  // namespace crisp
