// CreateContainer: checks everything that can be checked, writes the bundle and commits. No
// process, no mount, no cgroup.
#include <google/protobuf/util/message_differencer.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"
#include "oci/oci_runtime.h"
#include "oci/spec.h"
#include "oci/validate.h"
#include "pod/image_volumes.h"
#include "pod/pod_state.h"
#include "pod/staged_checkpoint.h"

namespace crisp {
namespace {

using google::protobuf::util::MessageDifferencer;

absl::Status CheckRequest(const v1::CreateContainerRequest& request) {
  if (request.config().metadata().name().empty()) {
    return absl::InvalidArgumentError("config.metadata.name is empty");
  }
  if (request.config().image().image().empty()) {
    return absl::InvalidArgumentError(
        Cat("container ", request.config().metadata().name(), ": config.image.image is empty"));
  }
  for (const std::string_view part : Split(request.config().log_path(), '/')) {
    if (part == "..") {
      return absl::InvalidArgumentError(Cat("container ", request.config().metadata().name(),
                                            ": log_path ", request.config().log_path(),
                                            " leads out of the pod's log_directory"));
    }
  }
  return absl::OkStatus();
}

// What users call the image: what they wrote, or a name of it if the request names an id.
std::string NameOf(const v1::ImageSpec& spec, const ImageRecord& image) {
  if (!spec.user_specified_image().empty()) return spec.user_specified_image();
  const std::string_view asked = spec.image();
  const bool by_id = image.id.starts_with(asked) || image.id.starts_with(Cat("sha256:", asked));
  if (!by_id) return spec.image();
  if (!image.repo_tags.empty()) return image.repo_tags[0];
  return image.repo_digests.empty() ? image.id : image.repo_digests[0];
}

// One CreateContainer under way; all it makes goes again unless it is kept.
class ContainerSetup {
 public:
  // checkpoint: what it is made from, or null.
  ContainerSetup(PodState& state, PodPointer pod, std::shared_ptr<const ImageRecord> image,
                 const StagedCheckpoint* checkpoint, const Call& call)
      : state_(state),
        pod_(std::move(pod)),
        image_(std::move(image)),
        checkpoint_(checkpoint),
        call_(call) {}

  absl::StatusOr<ContainerPointer> Run(const v1::ContainerConfig& config) {
    RETURN_IF_ERROR(ReadImage());
    RETURN_IF_ERROR(ChooseRuntime());
    RETURN_IF_ERROR(FillRecord(config));
    auto container = std::make_shared<ContainerEntry>(record_, pod_);
    RETURN_IF_ERROR(state_.Save(*container));
    absl::Status status = Build();
    if (status.ok()) {
      record_.set_phase(record::CONTAINER_READY);
      container->record.Update([&](record::Container& record) {
        record = record_;
        return true;
      });
      status = state_.Save(*container);
    }
    if (!status.ok()) {
      if (absl::Status undone = Undo(*container); !undone.ok()) {
        LOG_ERROR("container {}: {}", record_.id(), undone.ToString());
      }
      return status;
    }
    return container;
  }

 private:
  absl::Status ReadImage() {
    ASSIGN_OR_RETURN(const Json document, ParseJson(image_->config_json, image_->id));
    ASSIGN_OR_RETURN(image_config_, ParseImageConfig(document));
    image_config_.passwd = image_->passwd;
    image_config_.group = image_->group;
    // What runs is what ran; an image without a command of its own needs none.
    if (checkpoint_ != nullptr && !checkpoint_->spec().args.empty()) {
      image_config_.entrypoint.clear();
      image_config_.cmd = checkpoint_->spec().args;
    }
    return absl::OkStatus();
  }

  // That of the pod. A handler that is no more in the configuration cannot start containers.
  absl::Status ChooseRuntime() {
    // Pods of before there were handlers have none recorded.
    const std::string name = pod_->record.Get()->handler();
    const absl::StatusOr<RuntimeHandler> found =
        state_.handlers->Find(name.empty() ? "native" : name);
    if (!found.ok()) {
      return absl::FailedPreconditionError(
          Cat("the pod's runtime handler is gone: ", FromAbsl(found.status().message())));
    }
    handler_ = *found;
    if (checkpoint_ != nullptr && !handler_.path.empty()) {
      return absl::FailedPreconditionError(
          Cat("a checkpoint cannot be restored by ", handler_.path,
              ", which runs the containers of this pod's runtime handler"));
    }
    record_.set_runtime_path(handler_.path);
    record_.mutable_runtime_args()->Assign(handler_.args.begin(), handler_.args.end());
    record_.set_runtime_sandboxed(handler_.sandboxed);
    return absl::OkStatus();
  }

  absl::Status FillRecord(const v1::ContainerConfig& config) {
    const PodRecord pod = pod_->record.Get();
    record_.set_id(RandomId());
    record_.set_pod_id(pod_->id);
    record_.set_phase(record::CONTAINER_CREATING);
    record_.set_created_at(absl::GetCurrentTimeNanos());
    *record_.mutable_config() = config;
    record_.set_image_id(image_->id);
    record_.set_image_ref(image_->id);
    record_.set_image_name(NameOf(config.image(), *image_));
    if (checkpoint_ != nullptr) {
      record_.mutable_restore()->set_checkpointed_at(checkpoint_->config().checkpointed);
      record_.set_image_name(checkpoint_->config().rootfs_image_name);
    }
    for (const std::string& folder : image_->layer_folders) record_.add_layers(folder);
    record_.add_layers(state_.paths.Skeleton());
    if (!config.log_path().empty() && !pod->config().log_directory().empty()) {
      record_.set_log_path(CleanPath(Cat(pod->config().log_directory(), "/", config.log_path())));
    }
    ASSIGN_OR_RETURN(*record_.mutable_cgroup_path(),
                     state_.CgroupPathOf(pod->config(), pod_->id, record_.id(), handler_.native()));
    const v1::NamespaceOption& namespaces = NamespacesOf(pod->config(), config);
    const v1::NamespaceMode pids = namespaces.pid();
    record_.set_kill_all(pids == v1::NODE || pids == v1::POD || pids == v1::TARGET);
    return pids == v1::TARGET ? FindTarget(namespaces.target_id()) : absl::OkStatus();
  }

  absl::Status FindTarget(const std::string& id) {
    absl::StatusOr<ContainerPointer> target = state_.table.FindContainer(id);
    if (absl::IsNotFound(target.status()) || (target.ok() && (*target)->pod->id != pod_->id)) {
      return absl::InvalidArgumentError(
          Cat("namespace_options.target_id: pod ", pod_->id, " has no container ", id));
    }
    RETURN_IF_ERROR(target.status());
    const ContainerRecord record = (*target)->record.Get();
    if (record->phase() != record::CONTAINER_UP) {
      return absl::FailedPreconditionError(
          Cat("namespace_options.target_id: container ", record->id(), " is not running"));
    }
    record_.set_target_id(record->id());
    record_.set_target_pid(record->pid());
    return absl::OkStatus();
  }

  absl::Status Build() {
    const std::string& id = record_.id();
    const std::string bundle = state_.paths.Bundle(pod_->id, id);
    RETURN_IF_ERROR(state_.images.Lease(image_->id, id));
    RETURN_IF_ERROR(MakeUpper());
    RETURN_IF_ERROR(MakeFolders(state_.paths.Work(id), 0700));
    RETURN_IF_ERROR(MakeFolders(Cat(bundle, "/rootfs"), 0711));
    ASSIGN_OR_RETURN(const std::vector<VolumeMount> volumes, CopyVolumes());
    const PodRecord pod = pod_->record.Get();
    ContainerFacts facts;
    facts.id = id;
    facts.cgroup_path = record_.cgroup_path();
    if (record_.target_pid() != 0)
      facts.target_pid_ns = Cat("/proc/", record_.target_pid(), "/ns/pid");
    facts.image_volumes = volumes;
    facts.cdi_folders = state_.options.cdi_folders;
    facts.seccomp_in_config = !handler_.native();
    ASSIGN_OR_RETURN(facts.image_mounts, MountImageVolumes(state_, *pod, record_.config()));
    const DaemonLimits limits = handler_.native() ? state_.limits : LimitsOfRuntime(state_.limits);
    ASSIGN_OR_RETURN(BuiltSpec spec, BuildSpec(pod->config(), record_.config(), image_config_,
                                               FactsOf(*pod), facts, limits, *state_.seccomp));
    if (!handler_.native()) FitToRuntime(spec.config, limits);
    // A kernel of its own knows nothing of the pod's UTS namespace.
    if (handler_.sandboxed) spec.config["hostname"] = pod->hostname();
    *record_.mutable_user() = spec.user;
    *record_.mutable_resources() = spec.resources;
    record_.set_stop_signal(spec.stop_signal.cri);
    record_.set_stop_signal_number(spec.stop_signal.number);
    record_.set_seccomp_bpf(spec.seccomp_bpf_path);
    if (checkpoint_ != nullptr) RETURN_IF_ERROR(TakeCheckpoint(spec.config, *pod));
    return ReplaceFile(Cat(bundle, "/config.json"), JsonText(spec.config), 0600);
  }

  // Once all that can be refused was.
  absl::Status TakeCheckpoint(const Json& config, const record::Pod& pod) {
    const std::string& id = record_.id();
    RETURN_IF_ERROR(checkpoint_->CheckMounts(config, state_.paths.Bundle(pod_->id, id),
                                             state_.paths.Container(id),
                                             record_.mutable_restore()));
    RETURN_IF_ERROR(checkpoint_->FillUpper(state_.paths.Upper(id), call_));
    if (!HostIpc(pod)) {
      RETURN_IF_ERROR(checkpoint_->FillShm(state_.paths.Shm(pod_->id), call_));
    }
    return checkpoint_->MoveImages(state_.paths.RestoreImages(id));
  }

  // The container's root folder has the owner of this one.
  absl::Status MakeUpper() {
    const std::string upper = state_.paths.Upper(record_.id());
    RETURN_IF_ERROR(MakeFolders(upper, 0755));
    const IdMaps maps = UserNamespaceOf(pod_->record.Get()->config());
    if (maps.empty() || chown(upper.c_str(), maps.RootUid(), maps.RootGid()) == 0) {
      return absl::OkStatus();
    }
    return ErrnoStatus("giving ", upper, " to the pod's root");
  }

  absl::StatusOr<std::vector<VolumeMount>> CopyVolumes() {
    std::vector<VolumeMount> mounts;
    for (const std::string& path : UncoveredVolumes(record_.config(), image_config_)) {
      const std::string folder = state_.paths.Volume(record_.id(), mounts.size());
      RETURN_IF_ERROR(MakeFolders(folder, 0755));
      bool filled = false;
      if (checkpoint_ != nullptr) {
        ASSIGN_OR_RETURN(filled, checkpoint_->FillVolume(mounts.size(), folder, call_));
      }
      if (!filled) {
        RETURN_IF_ERROR(Annotate(CopyFromImage(*image_, path, folder),
                                 Cat("filling the volume ", path, " from image ", image_->id)));
      }
      mounts.push_back({folder, path});
    }
    return mounts;
  }

  PodFacts FactsOf(const record::Pod& pod) const {
    PodFacts facts;
    facts.pod_id = pod.id();
    if (!HostNetwork(pod)) {
      facts.netns_path = state_.paths.Netns(pod.id());
      facts.uts_path = state_.paths.Uts(pod.id());
    }
    if (!HostIpc(pod)) {
      facts.ipc_path = state_.paths.Ipc(pod.id());
      facts.shm_path = state_.paths.Shm(pod.id());
    }
    facts.id_maps = UserNamespaceOf(pod.config());
    if (!facts.id_maps.empty()) facts.user_path = state_.paths.User(pod.id());
    facts.selinux_level = pod.selinux_level();
    facts.host_pids = NamespacesOf(pod.config(), record_.config()).pid() == v1::NODE;
    if (pod.init_pid() != 0) facts.pid_ns_path = Cat("/proc/", pod.init_pid(), "/ns/pid");
    facts.resolv_conf_path = state_.paths.ResolvConf(pod.id());
    facts.hosts_path = state_.paths.Hosts(pod.id());
    facts.hostname_path = state_.paths.Hostname(pod.id());
    facts.hostname = pod.hostname();
    return facts;
  }

  absl::Status Undo(ContainerEntry& container) {
    absl::Status first = RemoveTree(state_.paths.Bundle(pod_->id, container.id));
    Keep(first, state_.trash->Throw(state_.paths.Container(container.id)));
    Keep(first, state_.images.Release(container.id));
    if (first.ok()) Keep(first, state_.Erase(container));
    return first;
  }

  PodState& state_;
  const PodPointer pod_;
  const std::shared_ptr<const ImageRecord> image_;
  const StagedCheckpoint* const checkpoint_;
  const Call& call_;
  ImageConfig image_config_;
  record::Container record_;
  RuntimeHandler handler_;
};

absl::Status CheckSameImage(const PodState& state, const v1::ContainerConfig& config,
                            const ImageRecord& base) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const ImageRecord> named,
                   state.images.Find(config.image().image()));
  if (named->id == base.id) return absl::OkStatus();
  return absl::InvalidArgumentError(Cat("config.image ", config.image().image(), " is ", named->id,
                                        ", but the checkpointed container was made of ", base.id));
}

// The checkpoint that the request names by an archive's path or by an image that is one; null for
// an ordinary image.
absl::StatusOr<std::unique_ptr<StagedCheckpoint>> StageCheckpoint(PodState& state,
                                                                  const std::string& image,
                                                                  const std::string& archive,
                                                                  const Call& call) {
  if (!archive.empty()) return StagedCheckpoint::FromArchive(state, archive, call);
  if (image.starts_with('/')) return StagedCheckpoint::FromArchive(state, image, call);
  const absl::StatusOr<std::shared_ptr<const ImageRecord>> found = state.images.Find(image);
  if (!found.ok() || (*found)->checkpoint.empty()) return std::unique_ptr<StagedCheckpoint>();
  if (!state.options.restore_images) {
    return absl::FailedPreconditionError(
        Cat("image ", image, " is a checkpoint of a container ", (*found)->checkpoint,
            ", and the configuration does not allow to restore images "
            "(checkpoint.restore_images)"));
  }
  return StagedCheckpoint::FromImage(state, **found, call);
}

}  // namespace

absl::StatusOr<std::string> PodState::CreateOne(const v1::CreateContainerRequest& request,
                                                const std::string& archive, const Call& call) {
  RETURN_IF_ERROR(CheckRequest(request));
  ASSIGN_OR_RETURN(const PodPointer pod, table.FindPod(request.pod_sandbox_id()));
  RETURN_IF_ERROR(ValidateContainerConfig(pod->record.Get()->config(), request.config()));
  const v1::ContainerConfig& config = request.config();
  const std::string name = ContainerName(config.metadata(), pod->id);
  ASSIGN_OR_RETURN(NameLocks::Held reserved, container_names.Acquire(name, call));
  if (const ContainerPointer existing = table.ContainerNamed(name)) {
    const ContainerRecord record = existing->record.Get();
    // The answer to an earlier request may have been lost on the way.
    if (record->phase() == record::CONTAINER_READY &&
        MessageDifferencer::Equals(record->config(), config)) {
      return existing->id;
    }
    return absl::AlreadyExistsError(Cat("container ", config.metadata().name(), " of pod ", pod->id,
                                        " (attempt ", config.metadata().attempt(),
                                        ") exists already with id ", existing->id,
                                        "; remove it or raise metadata.attempt"));
  }
  const std::string what = Cat("container ", config.metadata().name(), " of pod ", pod->id);
  absl::StatusOr<std::unique_ptr<StagedCheckpoint>> checkpoint =
      StageCheckpoint(*this, config.image().image(), archive, call);
  if (!checkpoint.ok()) return Annotate(checkpoint.status(), what);
  // Held, so that a StopPodSandbox or RemovePodSandbox comes before or after the whole of it.
  ASSIGN_OR_RETURN(OperationLock::Held held, pod->operations.Acquire(call, Cat("pod ", pod->id)));
  if (pod->record.Get()->phase() != record::POD_READY) {
    return absl::FailedPreconditionError(
        Cat("pod ", pod->id, " is not ready: no container can be created in it"));
  }
  absl::StatusOr<std::shared_ptr<const ImageRecord>> image;
  if (*checkpoint == nullptr) {
    image = images.Find(config.image().image());
    RETURN_IF_ERROR(image.status());
  } else {
    absl::Status fits = (*checkpoint)->CheckConfig(pod->record.Get()->config(), config);
    if (fits.ok()) image = (*checkpoint)->BaseImage();
    if (fits.ok()) fits = image.status();
    // Beside an archive the configuration names the container's own image.
    if (fits.ok() && !archive.empty()) fits = CheckSameImage(*this, config, **image);
    if (!fits.ok()) return Annotate(fits, what);
  }
  WarnOfSwap(config.linux().resources());
  ContainerSetup setup(*this, pod, *image, checkpoint->get(), call);
  absl::StatusOr<ContainerPointer> container = setup.Run(config);
  if (!container.ok()) return Annotate(container.status(), what);
  {
    absl::MutexLock lock(&pod->event_mutex);
    table.Add(*container);
    Publish(*pod, (*container)->id, v1::CONTAINER_CREATED_EVENT);
  }
  return (*container)->id;
}

absl::StatusOr<v1::CreateContainerResponse> PodRuntime::CreateContainer(
    const v1::CreateContainerRequest& request, const Call& call) {
  v1::CreateContainerResponse response;
  ASSIGN_OR_RETURN(*response.mutable_container_id(), state_->CreateOne(request, "", call));
  return response;
}

}  // namespace crisp
