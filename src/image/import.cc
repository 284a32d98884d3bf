#include "image/import.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/status.h"
#include "image/image_config.h"
#include "image/merged_view.h"

namespace crisp {
namespace {

constexpr size_t kMaxAccountFile = 1 << 20;  // of passwd and group

// The layers of one image on their way: workers take the next one until all are there or one fails.
class LayerImport {
 public:
  LayerImport(const ImportRequest& request, const std::vector<std::string>& diff_ids,
              BlobStore& blobs, ImageCatalog& catalog, const ImageStoreOptions& options,
              const Call& call, PullProgress& progress)
      : request_(request),
        diff_ids_(diff_ids),
        blobs_(blobs),
        catalog_(catalog),
        options_(options),
        progress_(progress),
        layers_(diff_ids.size()),
        call_(call) {
    call_.cancelled = [this, caller = call.cancelled] { return stop_.load() || caller(); };
    for (const Descriptor& layer : request.manifest.layers) progress_.Add(layer.digest, layer.size);
  }

  absl::Status Run() {
    std::vector<std::thread> workers;
    const size_t count = std::min<size_t>(std::max(1, options_.parallel_layers), diff_ids_.size());
    for (size_t i = 1; i < count; ++i) workers.emplace_back([this] { Work(); });
    Work();
    for (std::thread& worker : workers) worker.join();
    absl::MutexLock lock(&mutex_);
    return failure_;
  }

  // What is held, also after a failure.
  std::vector<HeldLayer> Held() const {
    std::vector<HeldLayer> held;
    for (const HeldLayer& layer : layers_) {
      if (layer.number != 0) held.push_back(layer);
    }
    return held;
  }
  // Folders that only their path describes, by the layer's index.
  const std::vector<std::pair<size_t, std::vector<std::string>>>& implied() const {
    return implied_;
  }

 private:
  void Work() {
    while (!stop_.load()) {
      const size_t index = next_.fetch_add(1);
      if (index >= diff_ids_.size()) return;
      if (absl::Status status = Take(index); !status.ok()) {
        absl::MutexLock lock(&mutex_);
        // The first failure is the cause; the others were stopped by it.
        if (!stop_.exchange(true)) failure_ = status;
      }
    }
  }

  absl::Status Take(size_t index) {
    ASSIGN_OR_RETURN(HeldLayer layer, catalog_.Hold(diff_ids_[index], call_));
    if (layer.to_fetch) {
      progress_.Set(index, LayerProgress::State::kDownloading);
      auto facts = Fetch(index, layer);
      if (!facts.ok()) {
        catalog_.Failed(layer);
        return facts.status();
      }
      catalog_.Fetched(layer, *facts);
      if (!facts->implied_folders.empty()) {
        absl::MutexLock lock(&mutex_);
        implied_.emplace_back(index, facts->implied_folders);
      }
      progress_.Set(index, LayerProgress::State::kDone);
    } else {
      progress_.Set(index, LayerProgress::State::kPresent);
    }
    layers_[index] = std::move(layer);
    return absl::OkStatus();
  }

  absl::StatusOr<UnpackedLayer> Fetch(size_t index, const HeldLayer& layer) {
    const Descriptor& blob = request_.manifest.layers[index];
    LayerJob job;
    job.name = Cat("layer ", blob.digest, " of image ", request_.name);
    job.diff_id = layer.diff_id;
    job.folder = layer.folder;
    job.bounds = {options_.max_layer_bytes, options_.max_layer_entries};
    job.read = [&](const std::function<absl::Status(std::string_view)>& sink) {
      return blobs_.Read(blob, call_, [&](std::string_view bytes) {
        progress_.Advance(index, bytes.size());
        return sink(bytes);
      });
    };
    return UnpackLayer(job, call_);
  }

  const ImportRequest& request_;
  const std::vector<std::string>& diff_ids_;
  BlobStore& blobs_;
  ImageCatalog& catalog_;
  const ImageStoreOptions& options_;
  PullProgress& progress_;
  std::vector<HeldLayer> layers_;  // each written by the worker that took it
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> stop_ = false;
  Call call_;
  absl::Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<size_t, std::vector<std::string>>> implied_;
};

std::vector<std::string> FoldersFromTop(const std::vector<HeldLayer>& layers, size_t count) {
  std::vector<std::string> folders;
  for (size_t i = count; i-- > 0;) {
    if (std::find(folders.begin(), folders.end(), layers[i].folder) == folders.end())
      folders.push_back(layers[i].folder);
  }
  return folders;
}

// A folder that an archive names only as part of a path looks as it does in the layers below: else
// an entry "tmp/x" would take /tmp's sticky bit away.
absl::Status DescribeImplied(const std::vector<HeldLayer>& layers, size_t index,
                             const std::vector<std::string>& folders) {
  if (index == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const MergedView below, MergedView::Open(FoldersFromTop(layers, index)));
  ASSIGN_OR_RETURN(const MergedView own, MergedView::Open({layers[index].folder}));
  for (const std::string& path : folders) {
    const auto model = below.Find(path);
    const auto folder = own.Find(path);
    if (!model.ok() || !folder.ok() || !model->is_folder() || !folder->is_folder()) continue;
    const int fd = folder->folders[0]->get();
    if (fchown(fd, model->info.st_uid, model->info.st_gid) != 0 ||
        fchmod(fd, model->info.st_mode & 07777) != 0) {
      return ErrnoStatus("describe folder ", path, " of ", layers[index].folder);
    }
    const timespec times[2] = {model->info.st_mtim, model->info.st_mtim};
    futimens(fd, times);
  }
  const int top = own.root().folders[0]->get();
  return syncfs(top) == 0 ? absl::OkStatus() : ErrnoStatus("sync ", layers[index].folder);
}

}  // namespace

absl::StatusOr<std::string> ImportImage(const ImportRequest& request, BlobStore& blobs,
                                        ImageCatalog& catalog, const ImageStoreOptions& options,
                                        const Call& call, PullProgress& progress) {
  const ImageManifest& manifest = request.manifest;
  if (manifest.layers.size() > options.max_layers) {
    return absl::ResourceExhaustedError(Cat("image ", request.name, " has ", manifest.layers.size(),
                                            " layers; at most ", options.max_layers,
                                            " are allowed"));
  }
  NewImage image;
  ASSIGN_OR_RETURN(image.config, blobs.ReadSmall(manifest.config, call));
  ASSIGN_OR_RETURN(const std::vector<std::string> diff_ids,
                   ParseDiffIds(image.config, manifest.layers.size(), request.name));
  LayerImport layers(request, diff_ids, blobs, catalog, options, call, progress);
  absl::Cleanup let_go = [&] { catalog.LetGo(layers.Held()); };
  RETURN_IF_ERROR(layers.Run());
  image.layers = layers.Held();
  for (const auto& [index, folders] : layers.implied())
    RETURN_IF_ERROR(DescribeImplied(image.layers, index, folders));
  ASSIGN_OR_RETURN(const MergedView view,
                   MergedView::Open(FoldersFromTop(image.layers, image.layers.size())));
  image.passwd = SmallFileOf(view, "etc/passwd", kMaxAccountFile);
  image.group = SmallFileOf(view, "etc/group", kMaxAccountFile);
  image.checkpoint = manifest.checkpoint;
  image.id = manifest.config.digest;
  image.size = manifest.config.size;
  for (const Descriptor& layer : manifest.layers) image.size += layer.size;
  image.tags = request.tags;
  image.digests = request.digests;
  RETURN_IF_ERROR(call.Check());  // a caller that has gone leaves no image
  RETURN_IF_ERROR(catalog.Commit(image));
  return image.id;
}

}  // namespace crisp
