#include "pod/staged_checkpoint.h"

#include <stdio.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"
#include "checkpoint/apply_diff.h"
#include "checkpoint/archive_reader.h"
#include "checkpoint/external_mounts.h"
#include "oci/validate.h"

namespace crisp {
namespace {

constexpr size_t kMaxDocument = 8 << 20;

bool IsBelow(std::string_view path, std::string_view folder) {
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

// Podman and CRI-O bind this file into every container; whoever is in it need not know that its
// engine is another one now.
constexpr char kEngineMark[] = "/run/.containerenv";
constexpr char kNullDevice[] = "/dev/null";

void AddExternal(const std::string& key, const std::string& source, record::Restore* restore) {
  record::RestoreMount& mount = *restore->add_below();
  mount.set_key(key);
  mount.set_source(source);
}

bool HasMountAt(const std::vector<BindMountDump>& mounts, std::string_view destination) {
  return std::any_of(mounts.begin(), mounts.end(),
                     [&](const BindMountDump& mount) { return mount.destination == destination; });
}

// "" if there is no such file.
absl::StatusOr<std::string> ReadIfThere(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path, kMaxDocument);
  if (absl::IsNotFound(text.status())) return std::string();
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StagedCheckpoint>> StagedCheckpoint::Open(PodState& state,
                                                                         const Call& call) {
  RETURN_IF_ERROR(state.criu.Ready(call));
  std::unique_ptr<StagedCheckpoint> staged(
      new StagedCheckpoint(state, JoinPath(state.paths.Checkpoints(), RandomId())));
  RETURN_IF_ERROR(MakeFolders(staged->folder_, 0700));
  return staged;
}

absl::StatusOr<std::unique_ptr<StagedCheckpoint>> StagedCheckpoint::FromArchive(
    PodState& state, const std::string& path, const Call& call) {
  ASSIGN_OR_RETURN(std::unique_ptr<StagedCheckpoint> staged, Open(state, call));
  RETURN_IF_ERROR(UnpackArchive(path, staged->folder_, ArchiveBounds(), call));
  RETURN_IF_ERROR(Annotate(staged->ReadDocuments(), Cat("checkpoint ", path)));
  return staged;
}

absl::StatusOr<std::unique_ptr<StagedCheckpoint>> StagedCheckpoint::FromImage(
    PodState& state, const ImageRecord& image, const Call& call) {
  ASSIGN_OR_RETURN(std::unique_ptr<StagedCheckpoint> staged, Open(state, call));
  RETURN_IF_ERROR(CopyFromImage(image, "/", staged->folder_));
  RETURN_IF_ERROR(Annotate(staged->ReadDocuments(), Cat("image ", image.id)));
  return staged;
}

StagedCheckpoint::~StagedCheckpoint() {
  if (absl::Status status = state_.trash->Throw(folder_); !status.ok()) {
    LOG_ERROR("removing an unpacked checkpoint: {}", status.ToString());
  }
}

std::string StagedCheckpoint::File(std::string_view name) const { return JoinPath(folder_, name); }

absl::Status StagedCheckpoint::ReadDocuments() {
  RETURN_IF_ERROR(CheckUnpacked(folder_));
  ASSIGN_OR_RETURN(const std::string config, ReadFile(File(kConfigDump), kMaxDocument));
  ASSIGN_OR_RETURN(config_, ParseConfigDump(config));
  ASSIGN_OR_RETURN(const std::string spec, ReadFile(File(kSpecDump), kMaxDocument));
  ASSIGN_OR_RETURN(spec_, ParseSpecDump(spec));
  ASSIGN_OR_RETURN(const std::string binds, ReadIfThere(File(kBindMounts)));
  if (!binds.empty()) {
    ASSIGN_OR_RETURN(binds_, ParseBindMounts(binds));
    has_binds_ = true;
  }
  ASSIGN_OR_RETURN(const std::string deleted, ReadIfThere(File(kDeletedFiles)));
  if (!deleted.empty()) {
    ASSIGN_OR_RETURN(deleted_, ParseDeletedFiles(deleted));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const ImageRecord>> StagedCheckpoint::BaseImage() const {
  for (const std::string* name :
       {&config_.rootfs_image_ref, &config_.rootfs_image_name, &config_.rootfs_image}) {
    if (name->empty()) continue;
    absl::StatusOr<std::shared_ptr<const ImageRecord>> image = state_.images.Find(*name);
    if (image.ok()) return image;
  }
  const std::string& name =
      config_.rootfs_image_name.empty() ? config_.rootfs_image : config_.rootfs_image_name;
  return absl::NotFoundError(Cat("the checkpointed container was made of image ", name, " (",
                                 config_.rootfs_image_ref, "), which is not here: pull it first"));
}

absl::Status StagedCheckpoint::CheckConfig(const v1::PodSandboxConfig& pod,
                                           const v1::ContainerConfig& config) const {
  if (spec_.terminal != config.tty()) {
    return absl::InvalidArgumentError(Cat("the checkpointed container had ",
                                          spec_.terminal ? "a" : "no", " terminal: tty must be ",
                                          spec_.terminal ? "true" : "false"));
  }
  if (spec_.terminal && !PathExists(File(Cat(kImagesFolder, "/", kTerminal)))) {
    return absl::FailedPreconditionError(
        "a container with a terminal can be restored only from an archive that crisp wrote: this "
        "one holds no checkpoint/terminal.json");
  }
  if (!spec_.terminal && !PathExists(File(Cat(kImagesFolder, "/", kDescriptors)))) {
    return absl::FailedPreconditionError(
        "its archive holds no checkpoint/descriptors.json, which tells what stdin, stdout and "
        "stderr were: without it the restored container would write to nobody");
  }
  if (spec_.user_namespace || !UserNamespaceOf(pod).empty()) {
    return absl::FailedPreconditionError("a container in a user namespace cannot be restored");
  }
  return absl::OkStatus();
}

absl::Status StagedCheckpoint::CheckMount(const std::string& destination,
                                          const std::vector<BindSource>& sources,
                                          const std::string& folder,
                                          record::Restore* restore) const {
  const BindSource* best = nullptr;
  for (const BindSource& source : sources) {
    if (source.key != destination && !IsBelow(destination, source.key)) continue;
    if (best == nullptr || source.key.size() > best->key.size()) best = &source;
  }
  if (best == nullptr && IsForeign() && destination == kEngineMark) {
    const std::string mark = JoinPath(folder, "containerenv");
    AddExternal(destination, mark, restore);
    return ReplaceFile(mark, "", 0644);
  }
  if (best == nullptr) {
    return absl::InvalidArgumentError(Cat("the checkpointed container has a mount at ", destination,
                                          ", which the configuration lacks: add it to "
                                          "config.mounts"));
  }
  if (best->key == destination) return absl::OkStatus();
  const std::string source = best->source + destination.substr(best->key.size());
  if (!PathExists(source)) {
    return absl::InvalidArgumentError(Cat("the checkpointed container has a mount at ", destination,
                                          ", but there is no ", source));
  }
  AddExternal(destination, source, restore);
  return absl::OkStatus();
}

absl::Status StagedCheckpoint::CheckMounts(const Json& config, const std::string& bundle,
                                           const std::string& folder,
                                           record::Restore* restore) const {
  const std::vector<BindSource> sources = BindSourcesOf(config, bundle);
  for (const BindMountDump& mount : binds_) {
    RETURN_IF_ERROR(CheckMount(mount.destination, sources, folder, restore));
  }
  if (IsForeign()) {
    // What CRI-O leaves out of bind.mounts, and all that Podman has not got one for.
    for (const std::string& destination : spec_.binds) {
      if (HasMountAt(binds_, destination)) continue;
      RETURN_IF_ERROR(CheckMount(destination, sources, folder, restore));
    }
    // By these names runc's and crun's images know the files that hide others.
    AddExternal(kNullDevice, kNullDevice, restore);
    for (const std::string& path : spec_.masked) AddExternal(path, kNullDevice, restore);
    return absl::OkStatus();
  }
  if (!has_binds_) return absl::OkStatus();
  // CRIU makes the mounts that its images know, and no others.
  for (const BindSource& source : sources) {
    const bool known = HasMountAt(binds_, source.key);
    if (!known) {
      return absl::InvalidArgumentError(Cat("the checkpointed container has no mount at ",
                                            source.key,
                                            ": a restored container has the mounts that it had"));
    }
  }
  return absl::OkStatus();
}

absl::Status StagedCheckpoint::FillUpper(const std::string& folder, const Call& call) const {
  return ApplyDiff(File(kRootfsDiff), deleted_, folder, LayerBounds(), call);
}

absl::StatusOr<bool> StagedCheckpoint::FillVolume(size_t number, const std::string& folder,
                                                  const Call& call) const {
  const std::string archive = File(Cat(kVolumesFolder, "/", number, ".tar"));
  if (!PathExists(archive)) return false;
  RETURN_IF_ERROR(ApplyDiff(archive, {}, folder, LayerBounds(), call));
  return true;
}

absl::Status StagedCheckpoint::FillShm(const std::string& folder, const Call& call) const {
  std::error_code error;
  if (!std::filesystem::is_empty(folder, error) || error) return absl::OkStatus();
  return ApplyDiff(File(kDevShm), {}, folder, LayerBounds(), call);
}

absl::Status StagedCheckpoint::MoveImages(const std::string& target) const {
  if (rename(File(kImagesFolder).c_str(), target.c_str()) == 0) return absl::OkStatus();
  return ErrnoStatus("moving CRIU's images to ", target);
}

}  // namespace crisp
