// Which security profiles and namespaces a pod or container asks for, in one form for CRI's new and
// deprecated fields, checked. Any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "api/cri.pb.h"
#include "kernel/user_namespace.h"

namespace crisp {

struct ProfileChoice {
  enum Kind { kUnconfined, kRuntimeDefault, kLocalhost };
  Kind kind = kUnconfined;
  std::string reference;  // of kLocalhost: seccomp's absolute path, AppArmor's name
};

// The container's namespace options, or its pod's if it names none.
const runtime::v1::NamespaceOption& NamespacesOf(const runtime::v1::PodSandboxConfig& pod,
                                                 const runtime::v1::ContainerConfig& container);

// The pod's user namespace; empty: the host's. For a pod that ValidatePodConfig let pass.
IdMaps UserNamespaceOf(const runtime::v1::PodSandboxConfig& pod);

// Unconfined if nothing is said (seccomp; AppArmor: RuntimeDefault) or the container is privileged.
// The new field wins.
absl::StatusOr<ProfileChoice> SeccompChoice(
    const runtime::v1::LinuxContainerSecurityContext& context);
absl::StatusOr<ProfileChoice> AppArmorChoice(
    const runtime::v1::LinuxContainerSecurityContext& context);

}  // namespace crisp
