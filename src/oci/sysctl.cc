#include "oci/sysctl.h"

#include <algorithm>
#include <charconv>

#include "base/status.h"
#include "oci/validate.h"

namespace crisp {
namespace {

// Dots between components as sysctl(8) wants, also for "net/ipv4/conf/eth0.1/forwarding".
absl::StatusOr<std::string> CanonicalName(const std::string& name) {
  std::string dotted = name;
  const size_t first = name.find_first_of("./");
  if (first != std::string::npos && name[first] == '/') {
    for (char& letter : dotted) {
      if (letter == '/') {
        letter = '.';
      } else if (letter == '.') {
        letter = '/';
      }
    }
  }
  bool sound = !dotted.empty() && dotted.size() < 256;
  for (const std::string_view part : Split(dotted, '.')) {
    sound = sound && !part.empty();
    for (const char letter : part) {
      sound = sound && (isalnum(static_cast<unsigned char>(letter)) || letter == '_' ||
                        letter == '-' || letter == '/');
    }
    // A slash inside a component is a dot in a file name ("eth0.1"); ".." must not come out of it.
    sound = sound && part.front() != '/' && part.back() != '/' &&
            part.find("//") == std::string_view::npos;
  }
  if (!sound) {
    return absl::InvalidArgumentError(
        Cat("linux.sysctls: \"", name.substr(0, 256), "\" is no name of a kernel parameter"));
  }
  return dotted;
}

// With dots, or with slashes where a component itself holds a dot: what PinNamespaces understands.
std::string KernelName(std::string dotted) {
  if (dotted.find('/') == std::string::npos) return dotted;
  for (char& letter : dotted) {
    if (letter == '/') {
      letter = '.';
    } else if (letter == '.') {
      letter = '/';
    }
  }
  return dotted;
}

bool OfIpcNamespace(std::string_view name) {
  return name.starts_with("fs.mqueue.") || name.starts_with("kernel.shm") ||
         name.starts_with("kernel.msg") || name == "kernel.sem" || name == "kernel.auto_msgmni" ||
         name == "kernel.sem_next_id";
}

constexpr char kPingGroups[] = "net.ipv4.ping_group_range";

// The two numbers are groups as the pod sees them. They are written with the host's eyes, and what
// lies beyond the pod's groups is cut off. What is no pair of numbers is the kernel's to refuse.
std::string OnHost(const std::string& ping_groups, const IdRange& gids) {
  const std::vector<std::string_view> words = SplitWords(ping_groups, ' ');
  uint32_t bounds[2] = {};
  if (words.size() != 2) return ping_groups;
  for (size_t i = 0; i < 2; ++i) {
    const char* end = words[i].data() + words[i].size();
    if (std::from_chars(words[i].data(), end, bounds[i]).ptr != end) return ping_groups;
  }
  if (bounds[0] > bounds[1] || bounds[0] >= gids.length) return "1 0";  // nobody
  return Cat(gids.outside + bounds[0], " ", gids.outside + std::min(bounds[1], gids.length - 1));
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> BuildPodSysctls(
    const runtime::v1::PodSandboxConfig& pod) {
  const runtime::v1::NamespaceOption& options = pod.linux().security_context().namespace_options();
  const bool host_network = options.network() == runtime::v1::NODE;
  const bool host_ipc = options.ipc() == runtime::v1::NODE;
  std::map<std::string, std::string> sysctls;
  if (!host_network) {
    sysctls["net.ipv4.ip_unprivileged_port_start"] = "0";
    sysctls[kPingGroups] = "0 2147483647";
  }
  for (const auto& [name, value] : pod.linux().sysctls()) {
    ASSIGN_OR_RETURN(const std::string dotted, CanonicalName(name));
    const auto refuse = [&, name = std::string_view(name)](std::string_view why) {
      return absl::InvalidArgumentError(Cat("linux.sysctls: ", name, " ", why));
    };
    if (value.size() > 4096 ||
        value.find_first_of(std::string_view("\0\n\r", 3)) != std::string::npos) {
      return refuse("has a value that is too long or has more than one line");
    }
    if (dotted.starts_with("net.")) {
      if (host_network) return refuse("cannot be set: the pod uses the host's network");
    } else if (OfIpcNamespace(dotted)) {
      if (host_ipc) return refuse("cannot be set: the pod uses the host's IPC namespace");
    } else if (dotted == "kernel.domainname") {
      if (host_network) return refuse("cannot be set: the pod uses the host's name");
    } else {
      return refuse("cannot be set: it belongs to the whole host, not to a pod");
    }
    sysctls[KernelName(dotted)] = value;
  }
  const IdMaps maps = UserNamespaceOf(pod);
  if (const auto ping = sysctls.find(kPingGroups); ping != sysctls.end() && !maps.gids.empty()) {
    ping->second = OnHost(ping->second, maps.gids[0]);
  }
  return sysctls;
}

}  // namespace crisp
