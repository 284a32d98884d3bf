// RestorePod: a new pod, and in it a container for each of a pod's checkpoint, created and not yet
// started; their starts are restores. All or nothing.
#include <fcntl.h>
#include <sys/stat.h>

#include <map>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "checkpoint/documents.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

constexpr size_t kMaxOptions = 1 << 20;
constexpr absl::Duration kUndoPatience = absl::Seconds(30);

absl::StatusOr<PodOptionsDump> ReadOptions(const std::string& folder) {
  if (!folder.starts_with('/')) {
    return absl::InvalidArgumentError(
        Cat("checkpoint_path \"", folder.substr(0, 300), "\" is no absolute path"));
  }
  const std::string path = JoinPath(folder, kPodOptions);
  absl::StatusOr<UniqueFd> file = OpenFile(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (!file.ok()) return Annotate(file.status(), "checkpoint_path is no checkpoint of a pod");
  struct stat about = {};
  if (fstat(file->get(), &about) != 0 || !S_ISREG(about.st_mode)) {
    return absl::InvalidArgumentError(Cat(path, " is no regular file"));
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFd(file->get(), path, kMaxOptions));
  absl::StatusOr<PodOptionsDump> options = ParsePodOptions(text);
  if (!options.ok()) return Annotate(options.status(), folder);
  return options;
}

// The configurations by name; exactly those of the checkpoint.
absl::StatusOr<std::map<std::string, const v1::ContainerConfig*>> Match(
    const v1::RestorePodRequest& request, const PodOptionsDump& options) {
  std::map<std::string, const v1::ContainerConfig*> configs;
  for (const v1::ContainerConfig& config : request.container_configs()) {
    if (!configs.emplace(config.metadata().name(), &config).second) {
      return absl::InvalidArgumentError(
          Cat("container_configs: ", config.metadata().name(), " is there twice"));
    }
  }
  for (const auto& [name, id] : options.containers) {
    if (configs.contains(name)) continue;
    return absl::InvalidArgumentError(
        Cat("container_configs: the checkpoint has a container ", name, ", which is missing"));
  }
  if (configs.size() == options.containers.size()) return configs;
  return absl::InvalidArgumentError(Cat("container_configs names ", configs.size(),
                                        " containers, the checkpoint has ",
                                        options.containers.size()));
}

}  // namespace

absl::StatusOr<v1::RestorePodResponse> PodRuntime::RestorePod(const v1::RestorePodRequest& request,
                                                              const Call& call) {
  PodState& state = *state_;
  if (!request.options().empty()) {
    return absl::InvalidArgumentError(
        Cat("options: \"", request.options().begin()->first, "\" is not known; there are none"));
  }
  ASSIGN_OR_RETURN(const PodOptionsDump options, ReadOptions(request.checkpoint_path()));
  ASSIGN_OR_RETURN(const auto configs, Match(request, options));
  RETURN_IF_ERROR(state.criu.Ready(call));
  if (const PodPointer existing = state.table.PodNamed(PodName(request.config().metadata()))) {
    return absl::AlreadyExistsError(Cat(
        "pod ", request.config().metadata().namespace_(), "/", request.config().metadata().name(),
        " exists already with id ", existing->id, ": a checkpoint is restored as a new pod"));
  }
  v1::RunPodSandboxRequest run;
  *run.mutable_config() = request.config();
  run.set_runtime_handler(request.runtime_handler());
  ASSIGN_OR_RETURN(const v1::RunPodSandboxResponse pod, RunPodSandbox(run, call));
  absl::Cleanup undo = [&] {
    v1::RemovePodSandboxRequest remove;
    remove.set_pod_sandbox_id(pod.pod_sandbox_id());
    const absl::Status removed = RemovePodSandbox(remove, Call{}.Within(kUndoPatience)).status();
    if (!removed.ok()) LOG_ERROR("undoing a RestorePod: {}", removed.ToString());
  };
  v1::RestorePodResponse response;
  response.set_pod_sandbox_id(pod.pod_sandbox_id());
  for (const auto& [name, config] : configs) {
    v1::CreateContainerRequest create;
    create.set_pod_sandbox_id(pod.pod_sandbox_id());
    *create.mutable_config() = *config;
    *create.mutable_sandbox_config() = request.config();
    v1::RestoredContainer& restored = *response.add_restored_containers();
    restored.set_name(name);
    const std::string archive = JoinPath(request.checkpoint_path(), Cat(name, ".tar"));
    ASSIGN_OR_RETURN(*restored.mutable_container_id(), state.CreateOne(create, archive, call));
  }
  std::move(undo).Cancel();
  return response;
}

}  // namespace crisp
