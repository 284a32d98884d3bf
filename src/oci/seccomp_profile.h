// Seccomp profiles: crisp's default one, and profiles written in Docker's form (rules that depend
// on capabilities, architecture and kernel) turned into OCI's linux.seccomp for one container on
// this host. Any thread.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp {

// JSON, Docker form.
std::string_view DefaultSeccompProfile();

struct SeccompHost {
  std::string architecture;  // as Go calls it: "amd64", "arm64"
  int kernel_major = 0;
  int kernel_minor = 0;

  static SeccompHost Probe();
};

// The profile's rules that apply with these capabilities ("CAP_CHOWN", ...) on this host. A profile
// in OCI form comes back as it is. InvalidArgument names the member that is wrong.
absl::StatusOr<Json> ResolveSeccompProfile(const Json& profile,
                                           const std::set<std::string>& capabilities,
                                           const SeccompHost& host);

}  // namespace crisp
