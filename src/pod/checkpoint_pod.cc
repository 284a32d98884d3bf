// CheckpointPod: the state of a pod's containers, all of one moment, as an archive each, in a
// folder that the caller has made. A failure leaves that folder as empty as it was.
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/status.h"
#include "checkpoint/archive_writer.h"
#include "checkpoint/documents.h"
#include "pod/pod_capture.h"

namespace crisp {
namespace {

absl::Status CheckOutput(const std::string& path) {
  if (!path.starts_with('/')) {
    return absl::InvalidArgumentError(
        Cat("output_path \"", path.substr(0, 300), "\" is no absolute path"));
  }
  std::error_code error;
  const auto status = std::filesystem::symlink_status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return absl::NotFoundError(
        Cat("output_path ", path, " does not exist: it is the caller's to make"));
  }
  if (status.type() != std::filesystem::file_type::directory) {
    return absl::InvalidArgumentError(Cat("output_path ", path, " is no folder"));
  }
  const bool empty = std::filesystem::is_empty(path, error);
  if (!error && empty) return absl::OkStatus();
  return absl::FailedPreconditionError(
      Cat("output_path ", path, error ? Cat(": ", error.message()) : std::string(" is not empty")));
}

// By id, so that two such calls take the locks in one order.
absl::StatusOr<std::vector<ContainerPointer>> FindContainers(
    const PodState& state, const PodEntry& pod, const v1::CheckpointPodRequest& request) {
  if (request.container_ids().empty()) {
    return absl::InvalidArgumentError("container_ids is empty: which containers?");
  }
  std::vector<ContainerPointer> containers;
  std::set<std::string> ids, names;
  for (const std::string& id : request.container_ids()) {
    ASSIGN_OR_RETURN(ContainerPointer container, state.table.FindContainer(id));
    if (container->pod->id != pod.id) {
      return absl::InvalidArgumentError(
          Cat("container_ids: container ", container->id, " is not of pod ", pod.id));
    }
    if (!ids.insert(container->id).second) {
      return absl::InvalidArgumentError(
          Cat("container_ids: container ", container->id, " is named twice"));
    }
    const std::string name = container->record.Get()->config().metadata().name();
    if (!names.insert(name).second || name.find('/') != name.npos || name.starts_with('.')) {
      return absl::InvalidArgumentError(Cat("container_ids: the name ", name, " of container ",
                                            container->id,
                                            " is another one's too, or cannot be a file's"));
    }
    containers.push_back(std::move(container));
  }
  std::sort(containers.begin(), containers.end(),
            [](const ContainerPointer& a, const ContainerPointer& b) { return a->id < b->id; });
  return containers;
}

Json AnnotationsOf(const record::Pod& pod, const PodState& state) {
  const v1::PodSandboxMetadata& metadata = pod.config().metadata();
  return {{"org.criu.checkpoint.engine.name", "crisp"},
          {"org.criu.checkpoint.engine.version", CRISP_VERSION},
          {"org.criu.checkpoint.pod.name", metadata.name()},
          {"org.criu.checkpoint.pod.id", pod.id()},
          {"org.criu.checkpoint.pod.namespace", metadata.namespace_()},
          {"org.criu.checkpoint.pod.uid", metadata.uid()},
          {"org.criu.checkpoint.criu.version", state.criu.version()}};
}

absl::Status WritePod(const PodState& state, const record::Pod& pod,
                      const std::vector<ContainerPointer>& containers, const std::string& folder) {
  std::string text;
  const auto written = google::protobuf::util::MessageToJsonString(pod.config(), &text);
  if (!written.ok()) return absl::InternalError(Cat("writing pod.dump: ", written.ToString()));
  RETURN_IF_ERROR(ReplaceFile(JoinPath(folder, kPodDump), text, 0600, Durability::kSurvivesPower));
  PodOptionsDump options;
  for (const ContainerPointer& one : containers) {
    options.containers.emplace_back(one->record.Get()->config().metadata().name(), one->id);
  }
  return ReplaceFile(JoinPath(folder, kPodOptions),
                     JsonText(PodOptionsJson(options, AnnotationsOf(pod, state))), 0600,
                     Durability::kSurvivesPower);
}

// What a failure leaves, and nothing else.
void Clear(const std::string& folder, const std::vector<ContainerPointer>& containers) {
  for (const ContainerPointer& one : containers) {
    const std::string name = one->record.Get()->config().metadata().name();
    (void)RemoveFile(JoinPath(folder, Cat(name, ".tar")));
  }
  for (const char* name : {kPodDump, kPodOptions}) (void)RemoveFile(JoinPath(folder, name));
}

}  // namespace

absl::StatusOr<v1::CheckpointPodResponse> PodRuntime::CheckpointPod(
    const v1::CheckpointPodRequest& request, const Call& call) {
  PodState& state = *state_;
  ASSIGN_OR_RETURN(const PodPointer pod, state.table.FindPod(request.pod_sandbox_id()));
  if (!request.options().empty()) {
    return absl::InvalidArgumentError(
        Cat("options: \"", request.options().begin()->first, "\" is not known; there are none"));
  }
  ASSIGN_OR_RETURN(const std::vector<ContainerPointer> containers,
                   FindContainers(state, *pod, request));
  RETURN_IF_ERROR(CheckOutput(request.output_path()));
  RETURN_IF_ERROR(state.criu.Ready(call));
  std::vector<OperationLock::Held> locks;
  for (const ContainerPointer& one : containers) {
    ASSIGN_OR_RETURN(OperationLock::Held held,
                     one->operations.Acquire(call, Cat("container ", one->id)));
    locks.push_back(std::move(held));
  }
  ASSIGN_OR_RETURN(PodCapture capture, PodCapture::Open(state));
  RETURN_IF_ERROR(capture.Take(containers, call));
  absl::Cleanup clear = [&] { Clear(request.output_path(), containers); };
  for (const ContainerPointer& one : containers) {
    const std::string name = one->record.Get()->config().metadata().name();
    RETURN_IF_ERROR(WriteArchive(capture.FolderOf(*one),
                                 JoinPath(request.output_path(), Cat(name, ".tar")), call));
  }
  RETURN_IF_ERROR(WritePod(state, *pod->record.Get(), containers, request.output_path()));
  std::move(clear).Cancel();
  return v1::CheckpointPodResponse();
}

}  // namespace crisp
