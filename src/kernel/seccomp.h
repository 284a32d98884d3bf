// CompileSeccomp: turns a seccomp profile in OCI form (config.json's linux.seccomp) into the BPF
// program that the kernel loads, with libseccomp. Takes milliseconds: cache the result
// (oci/seccomp_cache.h). Any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp {

// An array of struct sock_filter, as bytes; load it with SECCOMP_SET_MODE_FILTER. System calls that
// this machine's libseccomp does not know are passed over, as the OCI runtimes do. InvalidArgument
// names the member of the profile that is wrong.
absl::StatusOr<std::string> CompileSeccomp(const Json& profile);

// Of libseccomp, "2.5.4": another one may make another program of the same profile.
std::string SeccompCompilerVersion();

}  // namespace crisp
