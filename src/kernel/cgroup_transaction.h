// CgroupTransaction: changes limits of a cgroup that processes live in, all or none. Prepare reads
// the present value of every file that will be written and refuses limits below what is in use;
// Commit writes, and puts everything back if one write fails. What it is about to do can be kept
// in a journal: RestoreCgroup undoes it after a crash. One thread; blocks shortly, save that the
// kernel frees memory while a limit is lowered.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernel/cgroup_folder.h"

namespace crisp {

struct CgroupChange {
  std::string folder;
  std::string file;
  std::string value;   // to be
  std::string before;  // the whole content of the file
};

class CgroupTransaction {
 public:
  // For the writes of Cgroup::Plan. The kernel holds some limits against each other (version 1's
  // memory against memory and swap, the quota's share of the period against the parent's), so they
  // are brought into the order in which every step is valid. NotFound if a cgroup has gone;
  // FailedPrecondition if a limit lies below what is in use (page cache that can be dropped at once
  // does not count) or a file cannot be read, hence not be put back.
  static absl::StatusOr<CgroupTransaction> Prepare(std::vector<CgroupWrite> writes);

  // What Commit will write, in order; what has its value already is left out.
  const std::vector<CgroupChange>& changes() const { return changes_; }

  // The error names file, value and cause, and says what could not be put back, if anything. Once.
  absl::Status Commit();
  // Puts everything back after a Commit.
  absl::Status Rollback() const;

 private:
  std::vector<CgroupChange> changes_;
};

// Writes the values before into the files, last change first; every one is tried. It does not
// matter which of the changes were made. Ok if the cgroup has gone.
absl::Status RestoreCgroup(const std::vector<CgroupChange>& changes);

}  // namespace crisp
