// AppArmor on this host: which profiles are loaded, and crisp's own default profile. Reads
// securityfs anew for each question, for profiles come and go. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "api/cri.pb.h"
#include "base/call.h"
#include "oci/daemon_limits.h"

namespace crisp {

inline constexpr char kDefaultAppArmorProfile[] = "crisp-default";

// The text of the default profile, in AppArmor's language: containers may do what their
// capabilities allow, but not mount, nor write to the kernel's own switches, nor trace or signal
// what runs under another profile.
std::string DefaultAppArmorProfile();

// Whether a profile of this name is in the kernel's list ("name (enforce)", a line each).
// FailedPrecondition if the list cannot be read.
absl::StatusOr<bool> AppArmorProfileLoaded(std::string_view name, const std::string& securityfs);

// Loads the default profile with the program `parser` (apparmor_parser), replacing an older one.
absl::Status LoadDefaultAppArmorProfile(const std::string& parser, const Call& call);

// OCI's process.apparmorProfile; empty: unconfined. Nothing said is RuntimeDefault, as Kubernetes
// documents it. On a host without AppArmor RuntimeDefault is unconfined and Localhost
// InvalidArgument, as is a profile that is not loaded.
absl::StatusOr<std::string> EffectiveAppArmorProfile(
    const runtime::v1::LinuxContainerSecurityContext& context, const DaemonLimits& limits);

}  // namespace crisp
