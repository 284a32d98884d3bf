// CgroupFolder: one folder of a cgroup hierarchy, held open while its files are read and written.
// It can also note down what would be written instead of writing it. Internal to kernel/cgroup*.
// One thread; owns its descriptor.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

// One write to a file of a cgroup.
struct CgroupWrite {
  std::string folder;
  std::string file;
  std::string value;
};

class CgroupFolder {
 public:
  // NotFound if it is absent.
  static absl::StatusOr<CgroupFolder> Open(std::string path);

  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }

  // From now on writes are appended to the plan (borrowed) and nothing else happens; they fail only
  // if the file is absent.
  void PlanInto(std::vector<CgroupWrite>* plan) { plan_ = plan; }

  bool Has(const std::string& file) const;
  // The content without white space at both ends.
  absl::StatusOr<std::string> Read(const std::string& file) const;
  // One write. The error names value and file; TryWrite gives errno, or 0.
  absl::Status Write(const std::string& file, std::string_view value) const;
  int TryWrite(const std::string& file, std::string_view value) const;
  // The value after "key " in a file of such lines ("oom_kill 3"); 0 if it is not there.
  uint64_t Counter(const std::string& file, std::string_view key) const;

  absl::StatusOr<CgroupFolder> Child(const std::string& name) const;
  std::vector<std::string> Children() const;

 private:
  CgroupFolder(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  UniqueFd fd_;
  std::vector<CgroupWrite>* plan_ = nullptr;
};

}  // namespace crisp
