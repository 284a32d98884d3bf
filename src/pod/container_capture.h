// ContainerCapture: one running container's part of a checkpoint: CRIU's images, what it changed in
// its files, and the documents that tell what it was, as the files of an archive in a folder
// (docs/checkpoints.md). One thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "checkpoint/criu.h"
#include "kernel/cgroup.h"
#include "pod/pod_state.h"

namespace crisp {

class ContainerCapture {
 public:
  // Makes the folder and reads what can be read while the container runs. FailedPrecondition if it
  // does not run, or is of a kind that cannot be captured.
  static absl::StatusOr<ContainerCapture> Open(PodState& state, const ContainerPointer& container,
                                               std::string folder);

  absl::Status Freeze() const;
  void Thaw() const;  // a failure is logged
  // Between the two.
  absl::Status Take(const Call& call);
  // After Take, at any time.
  absl::Status WriteDocuments() const;

 private:
  ContainerCapture(PodState& state, const ContainerPointer& container, std::string folder)
      : state_(&state),
        record_(container->record.Get()),
        pod_(container->pod->record.Get()),
        folder_(std::move(folder)),
        cgroup_(*state.cgroups, record_->cgroup_path()) {}

  absl::Status ReadBundle();
  absl::Status NoteStreams() const;
  absl::Status NoteTerminal();
  absl::Status Dump(const Call& call);
  absl::Status TakeFiles(const Call& call);
  absl::Status Write(const char* name, const Json& document) const;
  std::string File(std::string_view name) const;

  PodState* state_;
  ContainerRecord record_;
  PodRecord pod_;
  std::string folder_;
  Cgroup cgroup_;
  int64_t taken_at_ = 0;
  std::string config_text_;
  Json config_;
  std::string terminal_;  // CRIU's name of it
  std::vector<ExternalMount> external_;
  std::vector<std::string> deleted_;
};

}  // namespace crisp
