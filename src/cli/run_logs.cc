#include "cli/run_logs.h"

#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/status.h"

namespace crisp {

absl::StatusOr<std::string> RunLogsRoot(Client& client) {
  cri::StatusRequest request;
  request.set_verbose(true);
  ASSIGN_OR_RETURN(const auto status, client.Call(request));
  const auto found = status.info().find("config");
  if (found != status.info().end()) {
    ASSIGN_OR_RETURN(const Json config, ParseJson(found->second, "the daemon's config"));
    const std::string root = JsonString(config, "root", JsonString(config, "rootDir"));
    if (root.starts_with("/")) return JoinPath(root, "logs");
  }
  return std::string("/var/log/crisp");
}

absl::Status RemoveRunLogs(const cri::PodSandbox& pod, const std::string& root) {
  const auto found = pod.annotations().find(kRunLogsAnnotation);
  if (found == pod.annotations().end()) return absl::OkStatus();
  // An annotation is a stranger's word: only a folder directly below the root goes, and only one
  // whose name is the pod's uid, as run makes them.
  const std::string& path = found->second;
  if (FolderOf(path) != root || BaseName(path) != pod.metadata().uid() || !IsHex(BaseName(path)))
    return absl::OkStatus();
  return RemoveTree(path);
}

}  // namespace crisp
