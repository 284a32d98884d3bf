#include "pod/pod_capture.h"

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"
#include "pod/container_capture.h"

namespace crisp {

absl::StatusOr<PodCapture> PodCapture::Open(PodState& state) {
  std::string folder = JoinPath(state.paths.Checkpoints(), RandomId());
  RETURN_IF_ERROR(MakeFolders(folder, 0700));
  return PodCapture(state, std::move(folder));
}

PodCapture::~PodCapture() {
  if (folder_.empty()) return;
  if (absl::Status status = state_.trash->Throw(folder_); !status.ok()) {
    LOG_ERROR("removing what is left of a checkpoint: {}", status.ToString());
  }
}

std::string PodCapture::FolderOf(const ContainerEntry& container) const {
  return JoinPath(folder_, container.id);
}

absl::Status PodCapture::Journal(const std::vector<ContainerPointer>& containers) const {
  std::string frozen;
  for (const ContainerPointer& one : containers) {
    frozen += Cat(one->record.Get()->cgroup_path(), "\n");
  }
  return ReplaceFile(JoinPath(folder_, kFrozenFile), frozen, 0600);
}

absl::Status PodCapture::Take(const std::vector<ContainerPointer>& containers, const Call& call) {
  std::vector<ContainerCapture> captures;
  for (const ContainerPointer& one : containers) {
    ASSIGN_OR_RETURN(ContainerCapture capture, ContainerCapture::Open(state_, one, FolderOf(*one)));
    captures.push_back(std::move(capture));
  }
  RETURN_IF_ERROR(Journal(containers));
  {
    absl::Cleanup thaw = [&] {
      for (const ContainerCapture& one : captures) one.Thaw();
    };
    for (const ContainerCapture& one : captures) RETURN_IF_ERROR(one.Freeze());
    for (ContainerCapture& one : captures) RETURN_IF_ERROR(one.Take(call));
  }
  for (const ContainerCapture& one : captures) RETURN_IF_ERROR(one.WriteDocuments());
  return absl::OkStatus();
}

}  // namespace crisp
