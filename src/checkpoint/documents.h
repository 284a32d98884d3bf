// The documents of a checkpoint: the JSON files beside CRIU's images, in the form that Podman,
// CRI-O and containerd gave them and checkpointctl reads. What is read is foreign: every field is
// checked. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp {

// The names of the files of an archive.
inline constexpr char kConfigDump[] = "config.dump";
inline constexpr char kSpecDump[] = "spec.dump";
inline constexpr char kStatusDump[] = "status.dump";
inline constexpr char kStatusFile[] = "status";
inline constexpr char kNetworkStatus[] = "network.status";
inline constexpr char kBindMounts[] = "bind.mounts";
inline constexpr char kDeletedFiles[] = "deleted.files";
inline constexpr char kRootfsDiff[] = "rootfs-diff.tar";
inline constexpr char kDevShm[] = "devshm-checkpoint.tar";
inline constexpr char kImagesFolder[] = "checkpoint";
// In it, beside CRIU's own.
inline constexpr char kDescriptors[] = "descriptors.json";
inline constexpr char kTerminal[] = "terminal.json";
inline constexpr char kVolumesFolder[] = "volumes";
inline constexpr char kDumpLog[] = "dump.log";
inline constexpr char kDumpStats[] = "stats-dump";
// Of a pod's checkpoint.
inline constexpr char kPodOptions[] = "pod.options";
inline constexpr char kPodDump[] = "pod.dump";

// ConfigDump::runtime of archives that crisp wrote.
inline constexpr char kOwnRuntime[] = "crisp";

// config.dump.
struct ConfigDump {
  std::string id;
  std::string name;
  std::string rootfs_image;       // as the user wrote it
  std::string rootfs_image_ref;   // id or digest
  std::string rootfs_image_name;  // a name of it
  std::string runtime;
  int64_t created = 0;  // ns since the epoch, as all times here
  int64_t checkpointed = 0;
  int64_t restored = 0;  // 0: never
};
Json ConfigDumpJson(const ConfigDump& config);
absl::StatusOr<ConfigDump> ParseConfigDump(std::string_view text);

// A mount that the container had from outside.
struct BindMountDump {
  std::string source;
  std::string destination;  // what CRIU's images call it
  bool folder = false;
};
Json BindMountsJson(const std::vector<BindMountDump>& mounts);
absl::StatusOr<std::vector<BindMountDump>> ParseBindMounts(std::string_view text);

// deleted.files: absolute and clean, whatever stood there.
absl::StatusOr<std::vector<std::string>> ParseDeletedFiles(std::string_view text);

// Of an entry of config.json's mounts.
bool IsBindMount(const Json& mount);

// What a restore wants to know of spec.dump.
struct SpecDump {
  std::vector<std::string> args;
  std::vector<std::string> binds;   // the destinations of its bind mounts, clean
  std::vector<std::string> masked;  // linux.maskedPaths, clean
  bool terminal = false;
  bool user_namespace = false;
};
absl::StatusOr<SpecDump> ParseSpecDump(std::string_view text);

// pod.options: the containers of a pod's checkpoint, by name, with the ids that they had.
struct PodOptionsDump {
  int64_t version = 1;
  std::vector<std::pair<std::string, std::string>> containers;
};
Json PodOptionsJson(const PodOptionsDump& options, const Json& annotations);
absl::StatusOr<PodOptionsDump> ParsePodOptions(std::string_view text);

// RFC 3339 in UTC; the zero of Go for 0.
std::string TimeText(int64_t ns);

}  // namespace crisp
