#include "oci/oci_runtime.h"

namespace crisp {

DaemonLimits LimitsOfRuntime(const DaemonLimits& limits) {
  DaemonLimits narrowed = limits;
  narrowed.unified = limits.cgroup_v2;
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
