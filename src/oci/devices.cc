#include "oci/devices.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "oci/cdi.h"

namespace crisp {
namespace {

namespace v1 = ::runtime::v1;

constexpr int kMaxDeviceDepth = 8;
constexpr size_t kMaxDeviceNodes = 4096;

Json Rule(bool allow, const char* type, int64_t major, int64_t minor, std::string_view access) {
  Json rule = {{"allow", allow}, {"access", access}};
  if (*type != 0) rule["type"] = type;
  if (major >= 0) rule["major"] = major;
  if (minor >= 0) rule["minor"] = minor;
  return rule;
}

// Nothing, but making nodes (using them is refused) and the default devices.
void AddDefaultRules(Json* rules) {
  rules->push_back(Rule(false, "", -1, -1, "rwm"));
  rules->push_back(Rule(true, "c", -1, -1, "m"));
  rules->push_back(Rule(true, "b", -1, -1, "m"));
  // null, zero, full, random, urandom; tty, console, ptmx; pseudo-terminals.
  constexpr std::array<std::pair<int, int>, 8> kDefault = {
      {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}}};
  for (const auto& [major, minor] : kDefault) {
    rules->push_back(Rule(true, "c", major, minor, "rwm"));
  }
  rules->push_back(Rule(true, "c", 136, -1, "rwm"));
}

struct Node {
  std::string path;  // in the container
  struct stat info;
  std::string host_path;  // links followed
};

// What devpts brings, and what the launcher makes itself.
bool IsTerminal(std::string_view path) {
  return path == "/dev/ptmx" || path == "/dev/console" || path.starts_with("/dev/pts/");
}

Json NodeJson(const Node& node) {
  return {{"path", node.path},
          {"type", S_ISBLK(node.info.st_mode) ? "b" : "c"},
          {"major", major(node.info.st_rdev)},
          {"minor", minor(node.info.st_rdev)},
          {"fileMode", node.info.st_mode & 07777},
          {"uid", node.info.st_uid},
          {"gid", node.info.st_gid}};
}

Json NodeMount(const Node& node) {
  return {{"destination", node.path},
          {"type", "bind"},
          {"source", node.host_path},
          {"options", {"bind", "rprivate", "nosuid", "noexec"}}};
}

bool IsDevice(const struct stat& info) { return S_ISBLK(info.st_mode) || S_ISCHR(info.st_mode); }

// All device nodes in a folder of the host and below it, named as they shall be in the container.
void CollectDevices(const std::string& folder, const std::string& as, int depth,
                    std::vector<Node>* nodes) {
  // Places with a life of their own: pseudo-terminals, memory, the container's own standard files.
  static const auto* const kSkip = new std::set<std::string, std::less<>>{
      "pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev"};
  std::unique_ptr<DIR, int (*)(DIR*)> open(opendir(folder.c_str()), closedir);
  if (open == nullptr) return;
  while (const dirent* entry = readdir(open.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == ".." || kSkip->contains(name) || nodes->size() >= kMaxDeviceNodes)
      continue;
    Node node{JoinPath(as, name), {}, JoinPath(folder, name)};
    if (lstat(node.host_path.c_str(), &node.info) != 0) continue;
    if (S_ISDIR(node.info.st_mode) && depth < kMaxDeviceDepth) {
      CollectDevices(node.host_path, node.path, depth + 1, nodes);
    } else if (IsDevice(node.info)) {
      nodes->push_back(std::move(node));
    }
  }
}

absl::Status Refuse(const v1::Device& device, std::string_view why) {
  return absl::InvalidArgumentError(Cat("devices: ", device.host_path(), " ", why));
}

// The node or nodes that one CRI device stands for.
absl::StatusOr<std::vector<Node>> Expand(const v1::Device& device) {
  const std::string target = CleanPath(
      Cat("/", device.container_path().empty() ? device.host_path() : device.container_path()));
  char resolved[PATH_MAX];
  struct stat info;
  if (realpath(device.host_path().c_str(), resolved) == nullptr || stat(resolved, &info) != 0) {
    return Refuse(device, Cat("cannot be used: ", ErrnoStatus("host_path").message()));
  }
  if (IsDevice(info)) return std::vector<Node>{{target, info, resolved}};
  if (!S_ISDIR(info.st_mode)) return Refuse(device, "is neither a device nor a folder of devices");
  std::vector<Node> nodes;
  CollectDevices(resolved, target, 0, &nodes);
  if (nodes.empty()) return Refuse(device, "is a folder without devices");
  return nodes;
}

}  // namespace

absl::Status ValidateDevices(const v1::ContainerConfig& container) {
  for (const v1::Device& device : container.devices()) {
    if (device.host_path().empty() || device.host_path().front() != '/') {
      return absl::InvalidArgumentError(
          Cat("devices: host_path \"", device.host_path(), "\" is not absolute"));
    }
    if (Cat(device.host_path(), device.container_path()).find('\0') != std::string::npos) {
      return absl::InvalidArgumentError("devices: a path holds a NUL byte");
    }
    if (device.permissions().find_first_not_of("rwm") != std::string::npos) {
      return Refuse(device, Cat("has the permissions \"", device.permissions(),
                                "\"; only r, w and m are known"));
    }
  }
  RETURN_IF_ERROR(CdiNames(container).status());
  return absl::OkStatus();
}

absl::StatusOr<ContainerDevices> BuildDevices(const v1::ContainerConfig& container,
                                              const std::string& dev) {
  const bool privileged = container.linux().security_context().privileged();
  ContainerDevices result;
  std::vector<Node> nodes;
  if (privileged) {
    result.rules.push_back(Rule(true, "", -1, -1, "rwm"));
    CollectDevices(dev, "/dev", 0, &nodes);
  } else {
    AddDefaultRules(&result.rules);
  }
  for (const v1::Device& device : container.devices()) {
    ASSIGN_OR_RETURN(std::vector<Node> found, Expand(device));
    for (Node& node : found) {
      if (!privileged) {
        const std::string access = device.permissions().empty() ? "rwm" : device.permissions();
        result.rules.push_back(Rule(true, S_ISBLK(node.info.st_mode) ? "b" : "c",
                                    major(node.info.st_rdev), minor(node.info.st_rdev), access));
      }
      nodes.push_back(std::move(node));
    }
  }
  // One node a path; the one that was asked for wins over one of the host's.
  std::set<std::string> seen;
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    if (!seen.insert(node->path).second) continue;
    result.nodes.push_back(NodeJson(*node));
    if (!IsTerminal(node->path)) result.mounts.push_back(NodeMount(*node));
  }
  std::reverse(result.nodes.begin(), result.nodes.end());
  return result;
}

}  // namespace crisp
