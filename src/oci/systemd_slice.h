// Where systemd puts cgroups: the names of slices and scopes and the folders that follow from them,
// as systemd.slice(5) has it. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "api/cri.pb.h"

namespace crisp {

// "a-b.slice" lies in "/a.slice/a-b.slice", for a dash goes down a level; "-.slice" is "/".
// InvalidArgument for a name that systemd would not take.
absl::StatusOr<std::string> SliceFolder(std::string_view slice);

// The slice of a pod: the last element of linux.cgroup_parent, which kubelet gives as a folder
// ("/kubepods.slice/kubepods-pod1.slice") or as a name; "crisp-<pod id>.slice" if there is none.
// InvalidArgument if it does not end in ".slice".
absl::StatusOr<std::string> PodSlice(const runtime::v1::PodSandboxConfig& pod,
                                     std::string_view pod_id);

// "crisp-<container id>.scope".
std::string ScopeName(std::string_view container_id);

// linux.cgroupsPath of a container under the systemd driver: its scope's folder in the pod's slice.
absl::StatusOr<std::string> ScopePath(const runtime::v1::PodSandboxConfig& pod,
                                      std::string_view pod_id, std::string_view container_id);

}  // namespace crisp
