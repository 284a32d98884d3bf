// ImageStore: the images of this node, their layers on disk and who holds them. Any thread. Reads
// come from an immutable snapshot and never wait; Pull, Load and Remove may run side by side. The
// database must outlive the store; records are shared, so a removed image's record stays readable.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/call.h"
#include "registry/registry_options.h"

namespace crisp {

class Database;

struct ImageRecord {
  std::string id;                         // "sha256:..." of the config
  std::vector<std::string> repo_tags;     // "docker.io/library/busybox:latest"
  std::vector<std::string> repo_digests;  // "docker.io/library/busybox@sha256:..."
  uint64_t size = 0;                      // bytes of config and compressed layers; never 0
  std::string config_json;                // the OCI image config as it came
  std::string passwd;  // /etc/passwd and /etc/group of the image, each at most 1 MiB
  std::string group;
  std::string checkpoint;  // not empty: it holds a checkpoint of the container of this name
  std::vector<std::string> layer_folders;  // absolute, the topmost first
  bool pinned = false;
  int64_t pulled_at = 0;  // ns since the epoch
};

// One layer of a pull or load, as far as it has come.
struct LayerProgress {
  enum class State { kWaiting, kDownloading, kPresent, kDone };
  std::string digest;
  uint64_t total_bytes = 0;  // compressed
  uint64_t done_bytes = 0;
  State state = State::kWaiting;
};

// Told of progress, at most every 100 ms and at the end, on a thread of the pull; all layers each
// time, the base layer first. Must not call the store.
using ProgressSink = std::function<void(const std::vector<LayerProgress>& layers)>;

struct PullRequest {
  std::string reference;  // "busybox", "registry.k8s.io/pause:3.10", "host/name@sha256:..."
  RegistryCredentials credentials;
};

struct LoadedImage {
  std::string id;
  std::vector<std::string> names;
};

struct FsUsage {
  std::string mountpoint;  // a folder of this node on that file system
  uint64_t used_bytes = 0;
  uint64_t inodes_used = 0;
};

struct ImageStoreOptions {
  RegistryOptions registry;
  int parallel_layers = 3;  // of one pull
  // Bounds for one layer, against archives that unpack to absurd sizes.
  uint64_t max_layer_bytes = uint64_t{32} << 30;
  uint64_t max_layer_entries = 4 << 20;
  uint32_t max_layers = 500;
  std::vector<std::string> pinned;  // references that are reported as pinned
};

class ImageStore {
 public:
  // Folder layers/ below root is made if absent; what crashed pulls left there is removed.
  static absl::StatusOr<std::unique_ptr<ImageStore>> Open(const std::string& root,
                                                          Database& database,
                                                          ImageStoreOptions options);
  ~ImageStore();

  // By reference (normalised: "busybox" finds docker.io/library/busybox:latest), id with or without
  // "sha256:", or a unique prefix of an id. NotFound; InvalidArgument if several ids match or the
  // words are no reference.
  absl::StatusOr<std::shared_ptr<const ImageRecord>> Find(std::string_view image) const;
  std::vector<std::shared_ptr<const ImageRecord>> List() const;

  // Brings the image here and returns its id. Equal pulls under way are joined; a caller that goes
  // does not disturb the others. DeadlineExceeded and Cancelled as the call says, NotFound (no such
  // repository or tag), Unauthenticated or PermissionDenied (credentials), Unknown with
  // "RegistryUnavailable: ..." (no answer), DataLoss (digest), ResourceExhausted (disk or bounds).
  absl::StatusOr<std::string> Pull(const PullRequest& request, const Call& call,
                                   ProgressSink progress = nullptr);

  // Imports all images of an OCI layout (folder or tar) or a `docker save` archive. `name` is given
  // to an image that has none there; it may be empty.
  absl::StatusOr<std::vector<LoadedImage>> Load(const std::string& path, const std::string& name,
                                                const Call& call, ProgressSink progress = nullptr);

  // Removes the image with all its names, by any of what Find() takes; ok if there is none. Layers
  // go as soon as neither another image nor a lease needs them.
  absl::Status Remove(std::string_view image);

  // The layers of the image stay until Release(holder), though the image may go. A holder may lease
  // several images; leasing the same twice is ok. Both survive a restart.
  absl::Status Lease(std::string_view image_id, std::string_view holder);
  absl::Status Release(std::string_view holder);
  // For recovery: the holders that have leases.
  absl::StatusOr<std::vector<std::string>> Holders() const;

  absl::StatusOr<FsUsage> Usage() const;

 private:
  class State;
  explicit ImageStore(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

// Copies what the image holds at `path` (a folder; resolved inside the image) into the existing
// folder `target`, with owners, modes, times and attributes. Ok if the image has no such folder.
absl::Status CopyFromImage(const ImageRecord& image, std::string_view path,
                           const std::string& target);

}  // namespace crisp
