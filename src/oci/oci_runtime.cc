#include "oci/oci_runtime.h"

#include "absl/status/status.h"

namespace crisp {

DaemonLimits LimitsOfRuntime(const DaemonLimits& limits, const RuntimeFeatures& features) {
  DaemonLimits narrowed = limits;
  narrowed.recursive_read_only = limits.recursive_read_only && features.recursive_read_only_mounts;
  narrowed.unified = limits.cgroup_v2;
  if (limits.user_namespaces.ok() && !features.user_namespaces) {
    narrowed.user_namespaces =
        absl::FailedPreconditionError("the runtime handler's program has no user namespaces");
  }
  return narrowed;
}

void FitToRuntime(Json& config, const DaemonLimits& limits) {
  const auto erase = [](Json& object, std::string_view key) {
    if (object.is_object()) object.erase(std::string(key));
  };
  if (Json& linux_part = config["linux"]; !limits.runtime_huge_pages && linux_part.is_object()) {
    erase(linux_part["resources"], "hugepageLimits");
  }
  erase(config["annotations"], "io.kubernetes.cri.container-type");
  erase(config["annotations"], "io.kubernetes.cri.sandbox-id");
}

}  // namespace crisp
