#include "oci/seccomp_profile.h"

#include <sys/utsname.h>

#include <algorithm>
#include <charconv>

#include "base/status.h"

namespace crisp {
namespace {

absl::Status RefuseProfile(std::string_view what) {
  return absl::InvalidArgumentError(Cat("seccomp profile: ", what));
}

// "SCMP_ARCH_X86_64" of the host's Go name; empty if crisp does not know it.
std::string_view ScmpArchitecture(std::string_view architecture) {
  if (architecture == "amd64") return "SCMP_ARCH_X86_64";
  if (architecture == "arm64") return "SCMP_ARCH_AARCH64";
  if (architecture == "riscv64") return "SCMP_ARCH_RISCV64";
  if (architecture == "ppc64le") return "SCMP_ARCH_PPC64LE";
  if (architecture == "s390x") return "SCMP_ARCH_S390X";
  if (architecture == "386") return "SCMP_ARCH_X86";
  if (architecture == "arm") return "SCMP_ARCH_ARM";
  return "";
}

bool ListHas(const Json* list, std::string_view word) {
  return list != nullptr && list->is_array() &&
         std::any_of(list->begin(), list->end(), [&](const Json& entry) {
           return entry.is_string() && entry.get_ref<const std::string&>() == word;
         });
}

bool KernelAtLeast(const std::string& version, const SeccompHost& host) {
  int major = 0;
  int minor = 0;
  const char* const end = version.data() + version.size();
  const auto [dot, error] = std::from_chars(version.data(), end, major);
  if (error == std::errc() && dot != end && *dot == '.') std::from_chars(dot + 1, end, minor);
  return std::pair(host.kernel_major, host.kernel_minor) >= std::pair(major, minor);
}

// Whether a rule's "includes" and "excludes" let it apply.
bool Applies(const Json& rule, const std::set<std::string>& capabilities, const SeccompHost& host) {
  const auto has_capability = [&](const Json& name) {
    return name.is_string() && capabilities.contains(name.get<std::string>());
  };
  if (const Json* excludes = JsonMember(rule, "excludes")) {
    if (ListHas(JsonMember(*excludes, "arches"), host.architecture)) return false;
    const Json* caps = JsonMember(*excludes, "caps");
    if (caps != nullptr && caps->is_array() &&
        std::any_of(caps->begin(), caps->end(), has_capability)) {
      return false;
    }
    const std::string kernel = JsonString(*excludes, "minKernel");
    if (!kernel.empty() && KernelAtLeast(kernel, host)) return false;
  }
  if (const Json* includes = JsonMember(rule, "includes")) {
    const Json* arches = JsonMember(*includes, "arches");
    if (arches != nullptr && arches->is_array() && !arches->empty() &&
        !ListHas(arches, host.architecture)) {
      return false;
    }
    const Json* caps = JsonMember(*includes, "caps");
    if (caps != nullptr && caps->is_array() &&
        !std::all_of(caps->begin(), caps->end(), has_capability)) {
      return false;
    }
    const std::string kernel = JsonString(*includes, "minKernel");
    if (!kernel.empty() && !KernelAtLeast(kernel, host)) return false;
  }
  return true;
}

// A rule without what only Docker's form has.
absl::StatusOr<Json> OciRule(const Json& rule) {
  if (!rule.is_object()) return RefuseProfile("a rule in \"syscalls\" is no object");
  Json names = Json::array();
  if (const Json* list = JsonMember(rule, "names"); list != nullptr && list->is_array())
    names = *list;
  if (const std::string name = JsonString(rule, "name"); !name.empty()) {
    if (!names.empty())
      return RefuseProfile(Cat("a rule has both \"name\" (", name, ") and \"names\""));
    names.push_back(name);
  }
  if (names.empty()) return RefuseProfile("a rule names no system call");
  Json result = {{"names", std::move(names)}, {"action", JsonString(rule, "action")}};
  for (const char* key : {"args", "errnoRet"}) {
    const Json* member = JsonMember(rule, key);
    if (member != nullptr && !member->is_null()) result[key] = *member;
  }
  return result;
}

// "architectures" as given, or those that the "archMap" has for this host.
absl::StatusOr<Json> Architectures(const Json& profile, const SeccompHost& host) {
  const Json* given = JsonMember(profile, "architectures");
  const Json* map = JsonMember(profile, "archMap");
  const bool has_map = map != nullptr && map->is_array() && !map->empty();
  if (given != nullptr && given->is_array() && !given->empty()) {
    if (has_map) return RefuseProfile("it has both \"architectures\" and \"archMap\"");
    return *given;
  }
  Json result = Json::array();
  if (!has_map) return result;
  for (const Json& entry : *map) {
    const std::string name = JsonString(entry, "architecture");
    if (name != ScmpArchitecture(host.architecture)) continue;
    result.push_back(name);
    const Json* sub = JsonMember(entry, "subArchitectures");
    if (sub != nullptr && sub->is_array()) {
      for (const Json& architecture : *sub) result.push_back(architecture);
    }
  }
  return result;
}

}  // namespace

SeccompHost SeccompHost::Probe() {
  SeccompHost host;
  utsname name;
  if (uname(&name) != 0) return host;
  const std::string_view machine = name.machine;
  host.architecture = machine == "x86_64"    ? "amd64"
                      : machine == "aarch64" ? "arm64"
                                             : std::string(machine);
  const std::string_view release = name.release;
  const auto [dot, error] =
      std::from_chars(release.data(), release.data() + release.size(), host.kernel_major);
  if (error == std::errc() && *dot == '.') {
    std::from_chars(dot + 1, release.data() + release.size(), host.kernel_minor);
  }
  return host;
}

absl::StatusOr<Json> ResolveSeccompProfile(const Json& profile,
                                           const std::set<std::string>& capabilities,
                                           const SeccompHost& host) {
  if (!profile.is_object()) return RefuseProfile("it is no JSON object");
  Json result = {{"defaultAction", JsonString(profile, "defaultAction")}};
  if (JsonString(profile, "defaultAction").empty()) return RefuseProfile("it has no defaultAction");
  const Json* error = JsonMember(profile, "defaultErrnoRet");
  if (error != nullptr && error->is_number_integer()) result["defaultErrnoRet"] = *error;
  ASSIGN_OR_RETURN(result["architectures"], Architectures(profile, host));
  if (const Json* flags = JsonMember(profile, "flags"); flags != nullptr && flags->is_array()) {
    result["flags"] = *flags;
  }
  if (!JsonString(profile, "listenerPath").empty()) {
    return absl::UnimplementedError(
        "seccomp profile: listenerPath needs a listener, which crisp does not serve yet");
  }
  result["syscalls"] = Json::array();
  const Json* rules = JsonMember(profile, "syscalls");
  if (rules == nullptr || rules->is_null()) return result;
  if (!rules->is_array()) return RefuseProfile("\"syscalls\" is no array");
  for (const Json& rule : *rules) {
    if (!Applies(rule, capabilities, host)) continue;
    ASSIGN_OR_RETURN(Json plain, OciRule(rule));
    result["syscalls"].push_back(std::move(plain));
  }
  return result;
}

}  // namespace crisp
