// SeccompFilter: a compiled filter (an array of struct sock_filter in a file), read while the
// host's files can be reached and loaded as the very last thing before execve. Used in the forked
// child alone.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp {

class SeccompFilter {
 public:
  // An empty path is no filter. linux_seccomp: OCI's linux.seccomp, of which `flags` is used.
  static absl::StatusOr<SeccompFilter> Read(const std::string& path, const Json& linux_seccomp);

  bool empty() const { return program_.empty(); }
  // Needs CAP_SYS_ADMIN or no_new_privs.
  absl::Status Load() const;

 private:
  std::string program_;
  unsigned flags_ = 0;
};

}  // namespace crisp
