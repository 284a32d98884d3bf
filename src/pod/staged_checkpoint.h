// StagedCheckpoint: a checkpoint on its way into a new container: unpacked into a folder of its
// own, its documents read and checked. The folder goes with it. One thread at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/record.pb.h"
#include "base/json.h"
#include "checkpoint/documents.h"
#include "checkpoint/external_mounts.h"
#include "pod/pod_state.h"

namespace crisp {

class StagedCheckpoint {
 public:
  // Of an archive's absolute path, or of an image whose content is a checkpoint. FailedPrecondition
  // without CRIU; InvalidArgument for what is no checkpoint.
  static absl::StatusOr<std::unique_ptr<StagedCheckpoint>> FromArchive(PodState& state,
                                                                       const std::string& path,
                                                                       const Call& call);
  static absl::StatusOr<std::unique_ptr<StagedCheckpoint>> FromImage(PodState& state,
                                                                     const ImageRecord& image,
                                                                     const Call& call);
  StagedCheckpoint(const StagedCheckpoint&) = delete;
  ~StagedCheckpoint();

  const ConfigDump& config() const { return config_; }
  const SpecDump& spec() const { return spec_; }
  // The image that the container was made of. NotFound says how to get it.
  absl::StatusOr<std::shared_ptr<const ImageRecord>> BaseImage() const;
  // Whether the container can be made again with this configuration in this pod.
  absl::Status CheckConfig(const v1::PodSandboxConfig& pod,
                           const v1::ContainerConfig& config) const;
  // Whether the new config.json has what the images take from outside: no more, no less. What is
  // only found below its mounts, or is an engine's own, goes to the record; folder: the
  // container's.
  absl::Status CheckMounts(const Json& config, const std::string& bundle, const std::string& folder,
                           record::Restore* restore) const;

  // Into the new container's empty folders.
  absl::Status FillUpper(const std::string& folder, const Call& call) const;
  // False if the checkpoint has no such volume.
  absl::StatusOr<bool> FillVolume(size_t number, const std::string& folder, const Call& call) const;
  // Only into an empty folder: in a pod that has used its /dev/shm already it stays as it is.
  absl::Status FillShm(const std::string& folder, const Call& call) const;
  absl::Status MoveImages(const std::string& target) const;

 private:
  StagedCheckpoint(PodState& state, std::string folder)
      : state_(state), folder_(std::move(folder)) {}
  static absl::StatusOr<std::unique_ptr<StagedCheckpoint>> Open(PodState& state, const Call& call);
  absl::Status ReadDocuments();
  bool IsForeign() const { return config_.runtime != kOwnRuntime; }
  absl::Status CheckMount(const std::string& destination, const std::vector<BindSource>& sources,
                          const std::string& folder, record::Restore* restore) const;
  std::string File(std::string_view name) const;

  PodState& state_;
  const std::string folder_;
  ConfigDump config_;
  SpecDump spec_;
  std::vector<BindMountDump> binds_;
  bool has_binds_ = false;
  std::vector<std::string> deleted_;
};

}  // namespace crisp
