// PodCapture: running containers of one pod, written down as they are at one moment. They stand
// still together from before the first is captured until the last is, and go on afterwards,
// whatever happens; if the daemon dies meanwhile, the next one lets them go on
// (PodState::SweepCheckpoints). The folder it fills goes with it. One thread; the caller holds the
// containers' operation locks.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "pod/pod_state.h"

namespace crisp {

class PodCapture {
 public:
  static absl::StatusOr<PodCapture> Open(PodState& state);
  PodCapture(PodCapture&& other) noexcept
      : state_(other.state_), folder_(std::exchange(other.folder_, "")) {}
  PodCapture& operator=(PodCapture&&) = delete;
  ~PodCapture();

  // FailedPrecondition for what cannot be captured; Internal with CRIU's words; DeadlineExceeded
  // and Cancelled as the call says.
  absl::Status Take(const std::vector<ContainerPointer>& containers, const Call& call);
  // After Take: the files of the container's archive.
  std::string FolderOf(const ContainerEntry& container) const;

 private:
  PodCapture(PodState& state, std::string folder) : state_(state), folder_(std::move(folder)) {}
  absl::Status Journal(const std::vector<ContainerPointer>& containers) const;

  PodState& state_;
  std::string folder_;
};

// Of a capture's folder: the cgroups that are frozen for it, a path each line.
inline constexpr char kFrozenFile[] = "frozen";

}  // namespace crisp
