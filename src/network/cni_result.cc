#include "network/cni_result.h"

#include <algorithm>

#include "base/status.h"
#include "base/text.h"
#include "kernel/ip_address.h"
#include "network/cni_config.h"

namespace crisp {
namespace {

constexpr size_t kMostResultBytes = 1 << 20;
constexpr size_t kMostItems = 256;
constexpr size_t kMostRoutes = 4096;
constexpr size_t kLongestText = 4096;

absl::Status Invalid(std::string_view why) {
  return absl::InvalidArgumentError(Cat("CNI result: ", why));
}

// The list under key: null if absent (or JSON's null, as Go writes an empty one).
absl::StatusOr<Json*> List(Json& object, const char* key, size_t most) {
  const auto found = object.find(key);
  if (found == object.end()) return nullptr;
  if (found->is_null()) {
    object.erase(found);
    return nullptr;
  }
  if (!found->is_array()) return Invalid(Cat(key, " is no list"));
  if (found->size() > most) return Invalid(Cat(key, " has more than ", most, " entries"));
  return &*found;
}

absl::Status CheckText(const Json& object, const char* key, bool required) {
  const Json* member = JsonMember(object, key);
  if (member == nullptr) return required ? Invalid(Cat(key, " is missing")) : absl::OkStatus();
  if (!member->is_string()) return Invalid(Cat(key, " is no text"));
  const std::string& text = member->get_ref<const std::string&>();
  if (text.size() > kLongestText || text.find('\0') != std::string::npos)
    return Invalid(Cat(key, " is no sensible text"));
  return absl::OkStatus();
}

absl::Status CheckIp(const Json& object, const char* key) {
  RETURN_IF_ERROR(CheckText(object, key, false));
  const std::string text = JsonString(object, key);
  return text.empty() ? absl::OkStatus() : IpAddress::Parse(text).status();
}

absl::StatusOr<size_t> CheckInterfaces(Json& result) {
  ASSIGN_OR_RETURN(Json * interfaces, List(result, "interfaces", kMostItems));
  if (interfaces == nullptr) return size_t{0};
  for (const Json& interface : *interfaces) {
    if (!interface.is_object()) return Invalid("an interface is no object");
    RETURN_IF_ERROR(CheckText(interface, "name", true));
    RETURN_IF_ERROR(CheckText(interface, "mac", false));
    RETURN_IF_ERROR(CheckText(interface, "sandbox", false));
    const std::string name = JsonString(interface, "name");
    if (name.empty() || name.size() > 64 || name.find('/') != std::string::npos) {
      return Invalid("an interface has no valid name");
    }
  }
  return interfaces->size();
}

absl::Status CheckIps(Json& result, size_t interfaces, bool old_form) {
  ASSIGN_OR_RETURN(Json * ips, List(result, "ips", kMostItems));
  if (ips == nullptr) return absl::OkStatus();
  for (Json& ip : *ips) {
    if (!ip.is_object()) return Invalid("an entry of ips is no object");
    RETURN_IF_ERROR(CheckText(ip, "address", true));
    const absl::StatusOr<IpPrefix> address = IpPrefix::Parse(JsonString(ip, "address"));
    if (!address.ok()) return Invalid(FromAbsl(address.status().message()));
    if (address->address.IsAny()) return Invalid("an address of the pod is the unspecified one");
    if (const absl::Status gateway = CheckIp(ip, "gateway"); !gateway.ok())
      return Invalid(FromAbsl(gateway.message()));
    if (const Json* interface = JsonMember(ip, "interface");
        interface != nullptr && !interface->is_null()) {
      if (!interface->is_number_integer() || interface->get<int64_t>() < 0 ||
          interface->get<int64_t>() >= static_cast<int64_t>(interfaces)) {
        return Invalid("an address names an interface that the result does not list");
      }
    }
    // Before 1.0.0 every address says its family.
    if (old_form) {
      ip["version"] = address->address.is_v4() ? "4" : "6";
    } else {
      ip.erase("version");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRoutes(Json& result) {
  ASSIGN_OR_RETURN(Json * routes, List(result, "routes", kMostRoutes));
  if (routes == nullptr) return absl::OkStatus();
  for (const Json& route : *routes) {
    if (!route.is_object()) return Invalid("a route is no object");
    RETURN_IF_ERROR(CheckText(route, "dst", true));
    if (!IpPrefix::Parse(JsonString(route, "dst")).ok())
      return Invalid("a route's dst is no subnet");
    if (const absl::Status gateway = CheckIp(route, "gw"); !gateway.ok())
      return Invalid(FromAbsl(gateway.message()));
  }
  return absl::OkStatus();
}

absl::Status CheckDns(Json& result) {
  const auto dns = result.find("dns");
  if (dns == result.end() || dns->is_null()) return absl::OkStatus();
  if (!dns->is_object()) return Invalid("dns is no object");
  RETURN_IF_ERROR(CheckText(*dns, "domain", false));
  for (const char* key : {"nameservers", "search", "options"}) {
    ASSIGN_OR_RETURN(Json * words, List(*dns, key, kMostItems));
    if (words == nullptr) continue;
    for (const Json& word : *words) {
      if (!word.is_string() || word.get_ref<const std::string&>().size() > kLongestText) {
        return Invalid(Cat("dns.", key, " holds something else than text"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Json> ParseCniResult(std::string_view text, std::string_view version) {
  if (Trim(text).empty()) return Invalid("the plugin printed nothing");
  if (text.size() > kMostResultBytes) return Invalid("larger than 1 MiB");
  ASSIGN_OR_RETURN(Json result, ParseJson(text, "CNI result"));
  return CheckCniResult(std::move(result), version);
}

absl::StatusOr<Json> CheckCniResult(Json result, std::string_view version) {
  if (!result.is_object()) return Invalid("no JSON object");
  const std::string own = JsonString(result, "cniVersion", version);
  if (!CniVersionAtLeast(own, "0.3.0")) {
    return Invalid(
        Cat("of version \"", std::string_view(own).substr(0, 32), "\", which is not supported"));
  }
  ASSIGN_OR_RETURN(const size_t interfaces, CheckInterfaces(result));
  RETURN_IF_ERROR(CheckIps(result, interfaces, !CniVersionAtLeast(version, "1.0.0")));
  RETURN_IF_ERROR(CheckRoutes(result));
  RETURN_IF_ERROR(CheckDns(result));
  result["cniVersion"] = std::string(version);
  return result;
}

std::vector<std::string> CniResultIps(const Json& result, std::string_view interface_name) {
  const Json* ips = JsonMember(result, "ips");
  const Json* interfaces = JsonMember(result, "interfaces");
  if (ips == nullptr || !ips->is_array()) return {};
  // On the pod's interface, or not said to be on another one.
  const auto on_interface = [&](const Json& ip) {
    const int64_t number = JsonInt(ip, "interface", -1);
    if (number < 0 || interfaces == nullptr || !interfaces->is_array()) return true;
    if (number >= static_cast<int64_t>(interfaces->size())) return false;
    const Json& interface = (*interfaces)[static_cast<size_t>(number)];
    return !JsonString(interface, "sandbox").empty() &&
           JsonString(interface, "name") == interface_name;
  };
  std::vector<std::string> v4, v6;
  for (const Json& ip : *ips) {
    const absl::StatusOr<IpPrefix> address = IpPrefix::Parse(JsonString(ip, "address"));
    if (!address.ok() || !on_interface(ip)) continue;
    (address->address.is_v4() ? v4 : v6).push_back(address->address.ToString());
  }
  v4.insert(v4.end(), v6.begin(), v6.end());
  return v4;
}

}  // namespace crisp
