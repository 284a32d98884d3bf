#include "kernel/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/file.h"
#include "base/status.h"
#include "kernel/cgroup_folder.h"

namespace crisp {
namespace {

absl::Status MakeFolder(const std::string& folder, const std::string& top) {
  if (mkdir(folder.c_str(), 0755) == 0 || errno == EEXIST) return absl::OkStatus();
  if (errno != ENOENT || folder.size() <= top.size()) return ErrnoStatus("make cgroup ", folder);
  RETURN_IF_ERROR(MakeFolder(FolderOf(folder), top));
  if (mkdir(folder.c_str(), 0755) == 0 || errno == EEXIST) return absl::OkStatus();
  return ErrnoStatus("make cgroup ", folder);
}

// In version 1 a new cpuset is empty, and nothing can join it before it has processors and memory
// nodes. Gives it those of its parent, which are filled first.
absl::StatusOr<std::string> FillCpuset(const std::string& folder, const std::string& top,
                                       const std::string& file) {
  ASSIGN_OR_RETURN(const CgroupFolder open, CgroupFolder::Open(folder));
  ASSIGN_OR_RETURN(std::string value, open.Read(file));
  if (!value.empty() || folder.size() <= top.size()) return value;
  ASSIGN_OR_RETURN(value, FillCpuset(FolderOf(folder), top, file));
  RETURN_IF_ERROR(open.Write(file, value));
  return value;
}

// Lets the children of `folder` have every controller that the root has. What cannot be enabled
// (processes in the folder, no permission) shows when a limit is set, and is no error before.
void EnableControllers(const std::string& folder, const CgroupHierarchy& hierarchy) {
  const absl::StatusOr<CgroupFolder> open = CgroupFolder::Open(folder);
  if (!open.ok()) return;
  const auto words = [&](const char* file) {
    const absl::StatusOr<std::string> text = open->Read(file);
    std::vector<std::string> list;
    if (!text.ok()) return list;
    for (const std::string_view word : SplitWords(*text, ' ')) list.emplace_back(word);
    return list;
  };
  const auto has = [](const std::vector<std::string>& list, const std::string& word) {
    return std::find(list.begin(), list.end(), word) != list.end();
  };
  std::vector<std::string> offered = words("cgroup.controllers");
  if (offered.size() < hierarchy.controllers.size() && folder != hierarchy.folder) {
    EnableControllers(FolderOf(folder), hierarchy);
    offered = words("cgroup.controllers");
  }
  const std::vector<std::string> enabled = words("cgroup.subtree_control");
  std::string wanted;
  for (const std::string& controller : offered) {
    if (!has(enabled, controller)) wanted += Cat(wanted.empty() ? "+" : " +", controller);
  }
  if (wanted.empty() || open->TryWrite("cgroup.subtree_control", wanted) == 0) return;
  // All or nothing is the kernel's rule; one that is refused shall not cost the others.
  for (const std::string_view word : Split(wanted, ' ')) {
    open->TryWrite("cgroup.subtree_control", word);
  }
}

}  // namespace

Cgroup::Cgroup(const CgroupTree& tree, std::string_view path)
    : tree_(&tree), path_(CleanPath(Cat("/", path))) {
  for (const CgroupHierarchy& hierarchy : tree.hierarchies()) {
    places_.push_back({&hierarchy, IsRoot() ? hierarchy.folder : hierarchy.folder + path_, true});
  }
}

Cgroup Cgroup::ForExec(std::string_view exec_id) const {
  Cgroup exec;
  exec.for_exec_ = true;
  exec.tree_ = tree_;
  const std::string name = Cat("/exec-", exec_id);
  exec.path_ = CleanPath(path_ + name);
  const CgroupHierarchy* tracker = &tree_->Tracker();
  for (const Place& place : places_) {
    const bool own = place.hierarchy == tracker;
    exec.places_.push_back(
        {place.hierarchy, own ? CleanPath(place.folder + name) : place.folder, own});
  }
  return exec;
}

std::vector<std::string> Cgroup::Folders() const {
  std::vector<std::string> folders;
  for (const Place& place : places_) {
    if (place.own) folders.push_back(place.folder);
  }
  return folders;
}

const Cgroup::Place* Cgroup::PlaceOf(std::string_view controller) const {
  for (const Place& place : places_) {
    if (place.hierarchy->Has(controller)) return &place;
  }
  return nullptr;
}

const Cgroup::Place& Cgroup::TrackerPlace() const {
  const CgroupHierarchy* tracker = &tree_->Tracker();
  for (const Place& place : places_) {
    if (place.hierarchy == tracker) return place;
  }
  return places_.front();
}

absl::Status Cgroup::CreateAt(const Place& place) const {
  const std::string& top = place.hierarchy->folder;
  RETURN_IF_ERROR(MakeFolder(place.folder, top));
  if (place.hierarchy->v2) {
    EnableControllers(FolderOf(place.folder), *place.hierarchy);
  } else if (place.hierarchy->Has("cpuset")) {
    RETURN_IF_ERROR(FillCpuset(place.folder, top, "cpuset.cpus").status());
    RETURN_IF_ERROR(FillCpuset(place.folder, top, "cpuset.mems").status());
  }
  return absl::OkStatus();
}

absl::Status Cgroup::Create() {
  if (IsRoot()) return absl::InvalidArgumentError("the root cgroup is nobody's to create");
  for (const Place& place : places_) {
    if (!place.own) continue;
    // An exec's cgroup stands beside the processes of its container: with a controller enabled for
    // it, version 2 would refuse those. So it gets none.
    RETURN_IF_ERROR(for_exec_ ? MakeFolder(place.folder, place.hierarchy->folder)
                              : CreateAt(place));
  }
  return absl::OkStatus();
}

bool Cgroup::Exists() const {
  return std::any_of(places_.begin(), places_.end(),
                     [](const Place& place) { return place.own && PathExists(place.folder); });
}

absl::Status Cgroup::JoinSelf(bool skip_v2) const {
  for (const Place& place : places_) {
    if (place.hierarchy->v2 && skip_v2) continue;
    // "0" is the writing thread itself. Through "tasks" the kernel need not stop all forks.
    RETURN_IF_ERROR(
        WriteExisting(JoinPath(place.folder, place.hierarchy->v2 ? "cgroup.procs" : "tasks"), "0"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<UniqueFd>> Cgroup::OpenForJoin() const {
  std::vector<UniqueFd> files;
  for (const Place& place : places_) {
    if (place.hierarchy->v2) continue;
    ASSIGN_OR_RETURN(UniqueFd file, OpenFile(JoinPath(place.folder, "tasks"), O_WRONLY));
    files.push_back(std::move(file));
  }
  return files;
}

absl::StatusOr<UniqueFd> Cgroup::OpenUnified() const {
  for (const Place& place : places_) {
    if (place.hierarchy->v2) return OpenFile(place.folder, O_RDONLY | O_DIRECTORY);
  }
  return UniqueFd();
}

absl::Status Cgroup::AddProcess(pid_t pid) const {
  for (const Place& place : places_) {
    RETURN_IF_ERROR(WriteExisting(JoinPath(place.folder, "cgroup.procs"), Cat(pid)));
  }
  return absl::OkStatus();
}

uint64_t Cgroup::OomKills() const {
  const Place* place = PlaceOf("memory");
  if (place == nullptr) return 0;
  const absl::StatusOr<CgroupFolder> folder = CgroupFolder::Open(place->folder);
  if (!folder.ok()) return 0;
  return folder->Counter(place->hierarchy->v2 ? "memory.events" : "memory.oom_control", "oom_kill");
}

}  // namespace crisp
