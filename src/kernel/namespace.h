// Namespaces of a pod, made on a thread of its own and pinned by bind mounts, so that they outlive
// every process (there is no pause process). A thread that entered a namespace ends there: no
// thread of the daemon ever changes its own. Any thread may call; each call blocks for the fraction
// of a millisecond that the kernel needs.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "kernel/user_namespace.h"

namespace crisp {

enum class NamespaceKind { kNetwork, kIpc, kUts };

struct PinRequest {
  NamespaceKind kind;
  std::string path;  // a file that is made here; its folder must exist (see PrepareNetnsFolder)
};

// The user namespace that shall own the others.
struct OwnerRequest {
  std::string path;
  IdMaps maps;
};

// Makes the namespaces and pins each at its path. Sets hostname in a new UTS namespace (unless it
// is empty), brings lo up in a new network namespace, and writes the sysctls inside: net.* needs
// kNetwork among the requests, kernel.shm*, kernel.msg*, kernel.sem and fs.mqueue.* need kIpc,
// kernel.domainname needs kUts; anything else is InvalidArgument, for it would change the host.
// Nothing stays pinned after an error. A path left over by an earlier try is replaced. With an
// owner, a user namespace is made and pinned too, and the others belong to it; ids in sysctls
// (net.ipv4.ping_group_range) are the host's all the same.
absl::Status PinNamespaces(const std::vector<PinRequest>& requests, const std::string& hostname,
                           const std::map<std::string, std::string>& sysctls,
                           const std::optional<OwnerRequest>& owner = std::nullopt);

// Unmounts (lazily) and removes the file; ok if there is none. The namespace dies with its last
// process.
absl::Status UnpinNamespace(const std::string& path);

// True if path is a pinned namespace (and not a plain file that an interrupted try or a reboot
// left).
bool IsPinnedNamespace(const std::string& path);

// Makes the folder for network namespaces and turns it into a shared mount of its own, as `ip
// netns` does, so that pins reach processes in other mount namespaces. Idempotent.
absl::Status PrepareNetnsFolder(const std::string& folder);

// Runs task on a new thread inside the network namespace and returns what it returns.
// FailedPrecondition if the descriptor is no network namespace.
absl::Status InNamespace(int netns_fd, const std::function<absl::Status()>& task);

}  // namespace crisp
