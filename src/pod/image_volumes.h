// Image volumes: images that a pod's containers mount (Mount.image). Each image is mounted once a
// pod, read-only, below the pod's folder, and its layers are leased to the pod; StopPodSandbox
// frees both. Callers hold the pod's operation lock.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "pod/pod_state.h"

namespace crisp {

// Mounts what the container's mounts ask for, as far as the pod has not done so already. Returns
// the folder or file on the host by container_path. Unknown with "ImageVolumeMountFailed: ..."
// (which kubelet knows) if an image is absent, or a sub-path is not in it.
absl::StatusOr<std::map<std::string, std::string>> MountImageVolumes(
    PodState& state, const record::Pod& pod, const v1::ContainerConfig& container);

// Unmounts them all; ok if there are none.
absl::Status UnmountImageVolumes(const PodState& state, const std::string& pod_id);

}  // namespace crisp
