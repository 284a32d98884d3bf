#include "oci/systemd_slice.h"

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr std::string_view kSlice = ".slice";
constexpr size_t kMaxName = 255;  // systemd's limit for the name of a unit

absl::Status RefuseParent(std::string_view name, std::string_view why) {
  return absl::InvalidArgumentError(
      Cat("linux.cgroup_parent: \"", name.substr(0, 128), "\" ", why));
}

bool OfAUnitsName(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view(":-_.\\@").find(c) != std::string_view::npos;
}

}  // namespace

absl::StatusOr<std::string> SliceFolder(std::string_view slice) {
  if (!slice.ends_with(kSlice) || slice.size() == kSlice.size()) {
    return RefuseParent(slice,
                        "is no slice of systemd such as kubepods-pod1.slice; the cgroup driver is "
                        "systemd, so kubelet's must be, too");
  }
  if (slice == "-.slice") return std::string("/");
  const std::string_view name = slice.substr(0, slice.size() - kSlice.size());
  for (const char c : slice) {
    if (!OfAUnitsName(c))
      return RefuseParent(slice, "holds a character that no unit's name may have");
  }
  if (slice.size() > kMaxName) return RefuseParent(slice, "is longer than a unit's name may be");
  std::string folder, prefix;
  for (const std::string_view part : Split(name, '-')) {
    if (part.empty()) return RefuseParent(slice, "has a dash without a word at both sides");
    prefix += Cat(prefix.empty() ? "" : "-", part);
    folder += Cat("/", prefix, kSlice);
  }
  return folder;
}

absl::StatusOr<std::string> PodSlice(const runtime::v1::PodSandboxConfig& pod,
                                     std::string_view pod_id) {
  const std::string& parent = pod.linux().cgroup_parent();
  if (parent.empty()) return Cat("crisp-", pod_id, kSlice);
  std::string slice = BaseName(CleanPath(Cat("/", parent)));
  RETURN_IF_ERROR(SliceFolder(slice).status());
  return slice;
}

std::string ScopeName(std::string_view container_id) {
  return Cat("crisp-", container_id, ".scope");
}

absl::StatusOr<std::string> ScopePath(const runtime::v1::PodSandboxConfig& pod,
                                      std::string_view pod_id, std::string_view container_id) {
  ASSIGN_OR_RETURN(const std::string slice, PodSlice(pod, pod_id));
  ASSIGN_OR_RETURN(const std::string folder, SliceFolder(slice));
  return JoinPath(folder, ScopeName(container_id));
}

}  // namespace crisp
