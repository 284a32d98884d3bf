#include "network/pod_cidrs.h"

#include "base/status.h"
#include "base/text.h"
#include "network/bridge_site.h"

namespace crisp {
namespace {

constexpr size_t kLongest = 128;  // two ranges of IPv6 with room to spare

constexpr const char* kNoPods[] = {"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3",
                                   "::/16",     "fe80::/10",   "ff00::/8"};

}  // namespace

absl::StatusOr<std::vector<IpPrefix>> ParsePodCidrs(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return absl::InvalidArgumentError(
        Cat("network_config.pod_cidr \"", text.substr(0, kLongest), "\": ", why));
  };
  if (text.size() > kLongest) return refuse("it is too long");
  std::vector<std::string> parts;
  for (const std::string_view part : Split(text, ',')) parts.emplace_back(Trim(part));
  absl::StatusOr<std::vector<IpPrefix>> subnets = ParseSubnets(parts);
  if (!subnets.ok()) return refuse(FromAbsl(subnets.status().message()));
  for (const IpPrefix& subnet : *subnets) {
    for (const char* range : kNoPods) {
      if (subnet.Overlaps(*IpPrefix::Parse(range))) {
        return refuse(Cat("no pod can have an address of ", range));
      }
    }
  }
  return subnets;
}

}  // namespace crisp
