// Cgroup: one cgroup (a folder in every hierarchy) of a container, a pod or an exec: made, limited,
// joined, frozen, killed and removed. Holds paths only, so it is cheap to make anew from its path
// and works across restarts. Borrows its CgroupTree. One thread at a time an object; blocks
// shortly. Linked into the static monitor: needs base alone.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/json.h"
#include "base/unique_fd.h"
#include "kernel/cgroup_folder.h"
#include "kernel/cgroup_tree.h"

namespace crisp {

class Cgroup {
 public:
  // `path` is OCI's linux.cgroupsPath: "/crisp/<pod>/<container>", relative to each hierarchy's
  // mount. It is cleaned lexically, so it cannot climb out of the hierarchy; an empty or "/" path
  // is the root itself, which nothing here creates, kills or removes.
  Cgroup(const CgroupTree& tree, std::string_view path);

  // A sub-cgroup for one exec, which exists in the tracking hierarchy alone (see
  // CgroupTree::Tracker): its processes share all limits of this cgroup and can still be told apart
  // and killed together. Its Join joins this cgroup everywhere else.
  Cgroup ForExec(std::string_view exec_id) const;

  const std::string& path() const { return path_; }
  // The folder in each hierarchy where this cgroup has one of its own.
  std::vector<std::string> Folders() const;

  // Makes the folders and their parents. On version 2 it also enables every controller on the way
  // down; on version 1 it fills empty cpusets from their parents. Existing folders are fine.
  absl::Status Create();
  bool Exists() const;

  // Sets what OCI's linux.resources asks for: devices, memory, cpu, pids, hugepageLimits, blockIO,
  // unified. Absent members are left as they are, so it serves updates too. A limit whose
  // controller this host lacks is FailedPrecondition, but huge page limits and swap accounting are
  // passed over and named in warnings().
  absl::Status Apply(const Json& resources);
  // The writes to limits that Apply would make, in its order, without making one; devices are left
  // out. For CgroupTransaction.
  absl::StatusOr<std::vector<CgroupWrite>> Plan(const Json& resources);
  const std::vector<std::string>& warnings() const { return warnings_; }

  // Moves the calling process, which must have one thread, into the cgroup. In version 1 this is
  // much cheaper than AddProcess (the kernel need not wait for an RCU grace period). A process that
  // was cloned with CLONE_INTO_CGROUP passes skip_v2.
  absl::Status JoinSelf(bool skip_v2 = false) const;
  // The files for a child to join by, opened before it is cloned: write "0" to each. Version 1
  // only; version 2 is joined with CLONE_INTO_CGROUP and OpenUnified().
  absl::StatusOr<std::vector<UniqueFd>> OpenForJoin() const;
  // The folder in version 2, for CLONE_INTO_CGROUP; an invalid descriptor if there is no version 2.
  absl::StatusOr<UniqueFd> OpenUnified() const;
  // Moves another process into the cgroup in every hierarchy. Takes milliseconds.
  absl::Status AddProcess(pid_t pid) const;

  // The processes in the cgroup and all below it; empty if it does not exist.
  absl::StatusOr<std::vector<pid_t>> Processes() const;
  // Sends the signal to all of them, also to what they fork meanwhile when it is SIGKILL (which
  // needs no Thaw before). Does not wait for their end.
  absl::Status Kill(int signal) const;
  // Returns when all processes stand still (at most 1 s, then DeadlineExceeded and thawed again).
  absl::Status Freeze() const;
  absl::Status Thaw() const;
  // The folder whose file does both, for another program that freezes.
  std::string FreezerFolder() const;

  // Removes the folders with all below. A busy folder (a process not yet reaped) is tried again for
  // `patience`, then FailedPrecondition names it and the processes. Ok if nothing is there.
  absl::Status Remove(absl::Duration patience = absl::Milliseconds(500)) const;

  // How often the kernel killed a process of it, or below it, for memory; 0 if unknown or gone.
  uint64_t OomKills() const;

 private:
  struct Place {
    const CgroupHierarchy* hierarchy;
    std::string folder;
    bool own;  // false: an exec shares this folder with its container
  };

  Cgroup() = default;
  bool IsRoot() const { return path_ == "/"; }
  const Place* PlaceOf(std::string_view controller) const;
  const Place& TrackerPlace() const;
  absl::Status CreateAt(const Place& place) const;
  // plan: null to write, else where the writes are noted down.
  absl::Status ApplyLimits(const Json& resources, std::vector<CgroupWrite>* plan);
  absl::Status ApplyDevices(const Json& resources);

  const CgroupTree* tree_ = nullptr;
  std::string path_;
  bool for_exec_ = false;
  std::vector<Place> places_;
  std::vector<std::string> warnings_;
};

}  // namespace crisp
