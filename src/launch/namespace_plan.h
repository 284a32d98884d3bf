// NamespacePlan: the namespaces of a bundle, which must be known before the fork: those to make go
// into clone3's flags, those to join are opened by the child. Read from config.json without
// building the document in memory. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

struct NamespacePlan {
  struct Join {
    int flag;  // CLONE_NEW*
    std::string path;
  };
  uint64_t create = 0;         // CLONE_NEW*, for clone3
  bool create_cgroup = false;  // made by the child itself, once it is in its cgroup
  std::vector<Join> join;      // all but the PID and the user namespace
  std::string pid_path;        // PID namespace to join; empty: none
  std::string user_path;       // user namespace to join; empty: the caller's
  std::string cgroups_path;    // linux.cgroupsPath

  bool Has(int flag) const;  // made or joined
};

// The text of a bundle's config.json, of at most 8 MiB.
absl::StatusOr<std::string> ReadBundleConfig(const std::string& bundle);

// InvalidArgument if linux.namespaces is missing, names one twice or an unknown one, or has no new
// mount namespace. Unimplemented for time namespaces and for new user namespaces.
absl::StatusOr<NamespacePlan> ReadNamespacePlan(std::string_view config_json);

}  // namespace crisp
