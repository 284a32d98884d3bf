// ImageCatalog: which images and layers there are, in memory and in the database, and the folders
// below layers/. It hands layers to pulls so that no layer is fetched twice at a time, and collects
// those that nobody needs. Any thread; reads take a snapshot and never wait.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/call.h"
#include "image/image_store.h"
#include "image/image_table.h"
#include "image/layer_pipeline.h"

namespace crisp {

// One layer that a pull holds: it stays until ImageCatalog::LetGo().
struct HeldLayer {
  std::string diff_id;
  int64_t number = 0;
  std::string folder;
  bool to_fetch = false;  // the holder is to unpack it there, then call Fetched() or Failed()
};

struct NewImage {
  std::string id;
  uint64_t size = 0;
  std::string config;
  std::string passwd;
  std::string group;
  std::string checkpoint;
  std::vector<HeldLayer> layers;  // the base first
  std::vector<std::string> tags;
  std::vector<std::string> digests;
};

class ImageCatalog {
 public:
  static absl::StatusOr<std::unique_ptr<ImageCatalog>> Open(const std::string& root,
                                                            Database& database,
                                                            const std::vector<std::string>& pinned);

  absl::StatusOr<std::shared_ptr<const ImageRecord>> Find(std::string_view image) const;
  std::vector<std::shared_ptr<const ImageRecord>> List() const;
  // The image of that exact name ("host/repository@sha256:..."), or null.
  std::shared_ptr<const ImageRecord> ByName(const std::string& name) const;

  // Waits while another pull fetches the layer.
  absl::StatusOr<HeldLayer> Hold(const std::string& diff_id, const Call& call)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Fetched(const HeldLayer& layer, const UnpackedLayer& facts) ABSL_LOCKS_EXCLUDED(mutex_);
  // The layer is not held any more, and its folder goes.
  void Failed(const HeldLayer& layer) ABSL_LOCKS_EXCLUDED(mutex_);
  void LetGo(const std::vector<HeldLayer>& layers) ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Status Commit(const NewImage& image) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status AddNames(const std::string& id, const std::vector<std::string>& tags,
                        const std::vector<std::string>& digests) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Remove(const std::string& id) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Lease(std::string_view id, std::string_view holder) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Release(std::string_view holder) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::vector<std::string>> Holders() const { return table_.Holders(); }
  FsUsage Usage() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A layer on its way into the database.
  struct Pending {
    int64_t number = 0;
    bool fetched = false;
    UnpackedLayer facts;
  };
  struct Snapshot {
    std::map<std::string, std::shared_ptr<const ImageRecord>> by_id;
    std::map<std::string, std::string> names;
  };

  ImageCatalog(std::string folder, ImageTable table, std::set<std::string> pinned)
      : folder_(std::move(folder)), table_(std::move(table)), pinned_(std::move(pinned)) {}

  std::string FolderOfLayer(int64_t number) const;
  absl::Status Load() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status RemoveLeftovers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Publish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(const HeldLayer& layer, std::vector<int64_t>* unused)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<int64_t> Collect() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveFolders(const std::vector<int64_t>& numbers) const;
  std::shared_ptr<const Snapshot> Current() const ABSL_LOCKS_EXCLUDED(snapshot_mutex_);

  const std::string folder_;  // root/layers
  mutable ImageTable table_;
  const std::set<std::string> pinned_;

  // Guards all changes, held across a transaction but never across the network or a tree's removal.
  mutable absl::Mutex mutex_;
  std::map<std::string, LayerRow> layers_ ABSL_GUARDED_BY(mutex_);  // by diff id; as the database
  std::map<std::string, Pending> pending_ ABSL_GUARDED_BY(mutex_);  // by diff id
  std::map<int64_t, int> holds_ ABSL_GUARDED_BY(mutex_);
  int64_t next_number_ ABSL_GUARDED_BY(mutex_) = 1;

  mutable absl::Mutex snapshot_mutex_;  // for the pointer alone
  std::shared_ptr<const Snapshot> snapshot_ ABSL_GUARDED_BY(snapshot_mutex_) =
      std::make_shared<Snapshot>();
};

}  // namespace crisp
