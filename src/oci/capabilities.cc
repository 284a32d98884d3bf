#include "oci/capabilities.h"

#include <algorithm>

#include "base/status.h"
#include "kernel/capability.h"

namespace crisp {
namespace {

std::string Upper(std::string_view name) {
  std::string upper(name);
  for (char& letter : upper) {
    if (letter >= 'a' && letter <= 'z') letter = static_cast<char>(letter - 'a' + 'A');
  }
  return upper;
}

// What containerd gives a container that asks for nothing.
const std::set<std::string>& DefaultCapabilities() {
  static const auto* const kDefault = new std::set<std::string>{
      "CAP_AUDIT_WRITE", "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",     "CAP_FSETID",
      "CAP_KILL",        "CAP_MKNOD",   "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",    "CAP_SETFCAP",
      "CAP_SETGID",      "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT",
  };
  return *kDefault;
}

struct NameList {
  bool all = false;
  std::set<std::string> names;
};

template <typename Names>
absl::StatusOr<NameList> Resolve(const Names& names, std::string_view field) {
  NameList list;
  for (const std::string& name : names) {
    if (Upper(name) == "ALL") {
      list.all = true;
      continue;
    }
    std::string known = CapabilityName(name);
    if (known.empty()) {
      return absl::InvalidArgumentError(Cat("linux.security_context.capabilities.", field, ": \"",
                                            name, "\" is no capability of Linux"));
    }
    list.names.insert(std::move(known));
  }
  return list;
}

std::set<std::string> Within(const std::set<std::string>& wanted,
                             const std::set<std::string>& bound) {
  std::set<std::string> both;
  std::set_intersection(wanted.begin(), wanted.end(), bound.begin(), bound.end(),
                        std::inserter(both, both.end()));
  return both;
}

}  // namespace

std::string CapabilityName(std::string_view name) {
  std::string upper = Upper(name);
  if (!upper.starts_with("CAP_")) upper.insert(0, "CAP_");
  return CapabilityNumber(upper) < 0 ? "" : upper;
}

absl::StatusOr<CapabilitySets> BuildCapabilities(const runtime::v1::Capability& capabilities,
                                                 bool privileged,
                                                 const std::set<std::string>& daemon_bounding_set) {
  CapabilitySets sets;
  ASSIGN_OR_RETURN(const NameList add,
                   Resolve(capabilities.add_capabilities(), "add_capabilities"));
  ASSIGN_OR_RETURN(const NameList drop,
                   Resolve(capabilities.drop_capabilities(), "drop_capabilities"));
  ASSIGN_OR_RETURN(const NameList ambient,
                   Resolve(capabilities.add_ambient_capabilities(), "add_ambient_capabilities"));
  std::set<std::string> wanted = DefaultCapabilities();
  if (privileged) {
    wanted = daemon_bounding_set;
  } else {
    // The order matters: add ALL, drop ALL, single adds, single drops.
    if (add.all) wanted = daemon_bounding_set;
    if (drop.all) wanted.clear();
    wanted.insert(add.names.begin(), add.names.end());
    if (ambient.all) wanted = daemon_bounding_set;
    wanted.insert(ambient.names.begin(), ambient.names.end());
    for (const std::string& name : drop.names) wanted.erase(name);
    const std::set<std::string> asked = ambient.all ? daemon_bounding_set : ambient.names;
    sets.ambient = Within(Within(asked, wanted), daemon_bounding_set);
    sets.inheritable = sets.ambient;
  }
  sets.bounding = Within(wanted, daemon_bounding_set);
  sets.effective = sets.bounding;
  sets.permitted = sets.bounding;
  return sets;
}

Json CapabilitiesJson(const CapabilitySets& sets) {
  return {{"bounding", sets.bounding},
          {"effective", sets.effective},
          {"permitted", sets.permitted},
          {"inheritable", sets.inheritable},
          {"ambient", sets.ambient}};
}

}  // namespace crisp
