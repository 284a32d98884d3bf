#include "checkpoint/external_mounts.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <map>

#include "base/file.h"
#include "base/status.h"
#include "checkpoint/container_terminal.h"
#include "checkpoint/documents.h"
#include "kernel/mount_info.h"
#include "kernel/rooted_path.h"

namespace crisp {
namespace {

constexpr size_t kMaxMountInfo = 16 << 20;

// The mount whose root a path of the container leads to, or -1: nothing is mounted there (any
// more).
int MountAt(int root, const std::string& path) {
  const absl::StatusOr<UniqueFd> place = OpenInRoot(root, path, O_PATH);
  struct statx about = {};
  if (!place.ok() || statx(place->get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &about) != 0 ||
      (about.stx_mask & STATX_MNT_ID) == 0 || (about.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0) {
    return -1;
  }
  return static_cast<int>(about.stx_mnt_id);
}

// The terminal's other end is the monitor's, so it cannot be CRIU's to make: see RestoreTerminal.
bool IsOfTerminal(const MountInfo& mount) {
  return mount.type == "devpts" && (mount.point == "/dev/pts" || mount.point == "/dev/console");
}

absl::Status CheckName(const std::string& path) {
  if (path.find(']') == path.npos && path.find(':') == path.npos) return absl::OkStatus();
  return absl::FailedPreconditionError(
      Cat("a mount at ", path, " cannot be told to CRIU: its path holds \"]\" or \":\""));
}

// A mount below one that is external, such as a volume's own mounts: the key goes on as the path
// does.
std::string KeyBelow(const MountInfo& mount, const std::map<int, const MountInfo*>& by_id,
                     const std::map<int, std::string>& keys) {
  for (auto above = by_id.find(mount.parent); above != by_id.end();
       above = by_id.find(above->second->parent)) {
    const auto key = keys.find(above->first);
    if (key == keys.end()) {
      if (above->second->parent == above->first) break;
      continue;
    }
    const std::string& point = above->second->point;
    if (mount.point.rfind(Cat(point, "/"), 0) != 0) break;
    return Cat(key->second, mount.point.substr(point.size()));
  }
  return "";
}

}  // namespace

std::vector<BindSource> BindSourcesOf(const Json& config, const std::string& bundle) {
  std::vector<BindSource> sources;
  const Json* mounts = JsonMember(config, "mounts");
  if (mounts == nullptr || !mounts->is_array()) return sources;
  for (const Json& mount : *mounts) {
    if (!IsBindMount(mount)) continue;
    const std::string source = JsonString(mount, "source");
    sources.push_back({CleanPath(Cat("/", JsonString(mount, "destination"))),
                       source.starts_with('/') ? source : JoinPath(bundle, source)});
  }
  return sources;
}

absl::StatusOr<std::vector<ExternalMount>> ExternalMountsOf(pid_t pid, const Json& config) {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadFile(Cat("/proc/", pid, "/mountinfo"), kMaxMountInfo));
  ASSIGN_OR_RETURN(const UniqueFd root,
                   OpenFile(Cat("/proc/", pid, "/root"), O_PATH | O_DIRECTORY));
  const std::vector<MountInfo> mounts = ParseMountInfo(text);
  std::map<int, const MountInfo*> by_id;
  for (const MountInfo& mount : mounts) by_id[mount.id] = &mount;
  std::map<int, std::string> keys;
  for (const BindSource& bind : BindSourcesOf(config, "/")) {
    const int id = MountAt(root.get(), bind.key);
    if (by_id.contains(id)) keys.emplace(id, bind.key);
  }
  std::vector<ExternalMount> external;
  const bool terminal = HasTerminal(config);
  for (const MountInfo& mount : mounts) {
    std::string key;
    if (const auto known = keys.find(mount.id); known != keys.end()) key = known->second;
    if (key.empty() && terminal && IsOfTerminal(mount)) key = mount.point;
    if (key.empty() && (mount.type == "cgroup" || mount.type == "cgroup2")) key = mount.point;
    if (key.empty()) key = KeyBelow(mount, by_id, keys);
    if (key.empty()) continue;
    RETURN_IF_ERROR(CheckName(mount.point));
    RETURN_IF_ERROR(CheckName(key));
    external.push_back({mount.point, std::move(key)});
  }
  return external;
}

}  // namespace crisp
