#include "launch/user_mapping.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <limits>

#include "base/file.h"
#include "base/status.h"
#include "kernel/rooted_path.h"
#include "launch/json_list.h"

namespace crisp {
namespace {

constexpr size_t kMaxRanges = 340;  // the kernel's limit
constexpr int64_t kMaxId = std::numeric_limits<uint32_t>::max();

absl::StatusOr<std::vector<IdRange>> ParseRanges(const Json& object, std::string_view key) {
  std::vector<IdRange> ranges;
  const Json& list = ArrayOf(object, key);
  if (list.size() > kMaxRanges) return absl::InvalidArgumentError(Cat(key, " has too many ranges"));
  for (const Json& json : list) {
    const int64_t inside = JsonInt(json, "containerID", -1);
    const int64_t outside = JsonInt(json, "hostID", -1);
    const int64_t length = JsonInt(json, "size", -1);
    if (inside < 0 || outside < 0 || length < 1 || inside + length > kMaxId ||
        outside + length > kMaxId) {
      return absl::InvalidArgumentError(Cat(key, " has a range that is none"));
    }
    ranges.push_back({static_cast<uint32_t>(inside), static_cast<uint32_t>(outside),
                      static_cast<uint32_t>(length)});
  }
  return ranges;
}

absl::StatusOr<std::string> ReadProc(int proc_fd, const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd file, OpenBeneathSameMount(proc_fd, path, O_RDONLY));
  return ReadFd(file.get(), path, 64 << 10);
}

std::string LinkAt(int folder_fd, const std::string& path) {
  char text[64] = {};
  return ::readlinkat(folder_fd, path.c_str(), text, sizeof text - 1) > 0 ? text : "";
}

// Lines of three numbers.
std::vector<IdRange> RangesIn(std::string_view text) {
  std::vector<IdRange> ranges;
  for (const std::string_view line : SplitWords(text, '\n')) {
    uint32_t numbers[3] = {};
    const std::vector<std::string_view> words = SplitWords(line, ' ');
    if (words.size() != 3) continue;
    for (size_t i = 0; i < 3; ++i) {
      std::from_chars(words[i].data(), words[i].data() + words[i].size(), numbers[i]);
    }
    ranges.push_back({numbers[0], numbers[1], numbers[2]});
  }
  return ranges;
}

}  // namespace

absl::StatusOr<IdMaps> ParseIdMaps(const Json& object) {
  IdMaps maps;
  ASSIGN_OR_RETURN(maps.uids, ParseRanges(object, "uidMappings"));
  ASSIGN_OR_RETURN(maps.gids, ParseRanges(object, "gidMappings"));
  if (maps.uids.empty() != maps.gids.empty()) {
    return absl::InvalidArgumentError("uidMappings and gidMappings must be given both or neither");
  }
  return maps;
}

absl::StatusOr<IdMaps> IdMapsOf(int proc_fd, int pidfd) {
  const std::string own = LinkAt(proc_fd, "self");
  ASSIGN_OR_RETURN(const std::string info, ReadProc(proc_fd, Cat(own, "/fdinfo/", pidfd)));
  const size_t at = info.find("Pid:\t");
  const std::string pid =
      at == std::string::npos ? "" : info.substr(at + 5, info.find('\n', at) - at - 5);
  if (pid.empty() || pid[0] == '-') {
    return absl::FailedPreconditionError("the container no longer runs");
  }
  IdMaps maps;
  if (LinkAt(proc_fd, Cat(own, "/ns/user")) == LinkAt(proc_fd, Cat(pid, "/ns/user"))) return maps;
  ASSIGN_OR_RETURN(const std::string uids, ReadProc(proc_fd, Cat(pid, "/uid_map")));
  ASSIGN_OR_RETURN(const std::string gids, ReadProc(proc_fd, Cat(pid, "/gid_map")));
  maps = {RangesIn(uids), RangesIn(gids)};
  if (maps.uids.empty() || maps.gids.empty()) {
    return absl::FailedPreconditionError("the container no longer runs");
  }
  return maps;
}

void GiveToRoot(const ProcessIo& io, const IdMaps& maps) {
  if (io.terminal) return;
  for (const int fd : {io.in, io.out, io.err}) {
    if (fd >= 0 && ::fchown(fd, maps.RootUid(), maps.RootGid()) != 0) continue;
  }
}

void GiveToRoot(const CgroupTree& tree, const Cgroup& cgroup, const IdMaps& maps) {
  if (tree.Unified() == nullptr || cgroup.path() == "/") return;
  const std::string folder = JoinPath(tree.Unified()->folder, cgroup.path());
  std::vector<std::string> paths = {folder};
  const absl::StatusOr<std::string> names = ReadFile("/sys/kernel/cgroup/delegate", 4096);
  const std::string_view list = names.ok()
                                    ? std::string_view(*names)
                                    : "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n";
  for (const std::string_view name : SplitWords(list, '\n')) {
    paths.push_back(JoinPath(folder, name));
  }
  for (const std::string& path : paths) {
    if (::chown(path.c_str(), maps.RootUid(), maps.RootGid()) != 0) continue;
  }
}

absl::Status BecomeMappedRoot() {
  if (::setgroups(0, nullptr) != 0) return ErrnoStatus("setgroups");
  if (::syscall(SYS_setresgid, 0, 0, 0) != 0) return ErrnoStatus("setgid 0");
  if (::syscall(SYS_setresuid, 0, 0, 0) != 0) return ErrnoStatus("setuid 0");
  // A change of identity clears it.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  return absl::OkStatus();
}

}  // namespace crisp
