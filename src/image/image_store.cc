#include "image/image_store.h"

#include "base/status.h"
#include "image/catalog.h"
#include "image/load.h"
#include "image/pull.h"

namespace crisp {

class ImageStore::State {
 public:
  State(std::string root, ImageStoreOptions options, std::unique_ptr<ImageCatalog> catalog)
      : root_(std::move(root)),
        options_(std::move(options)),
        catalog_(std::move(catalog)),
        puller_(*catalog_, options_) {}

  const std::string& root() const { return root_; }
  const ImageStoreOptions& options() const { return options_; }
  ImageCatalog& catalog() { return *catalog_; }
  Puller& puller() { return puller_; }

 private:
  const std::string root_;
  const ImageStoreOptions options_;
  const std::unique_ptr<ImageCatalog> catalog_;
  Puller puller_;
};

ImageStore::ImageStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
ImageStore::~ImageStore() = default;

absl::StatusOr<std::unique_ptr<ImageStore>> ImageStore::Open(const std::string& root,
                                                             Database& database,
                                                             ImageStoreOptions options) {
  ASSIGN_OR_RETURN(auto catalog, ImageCatalog::Open(root, database, options.pinned));
  return std::unique_ptr<ImageStore>(
      new ImageStore(std::make_unique<State>(root, std::move(options), std::move(catalog))));
}

absl::StatusOr<std::shared_ptr<const ImageRecord>> ImageStore::Find(std::string_view image) const {
  return state_->catalog().Find(image);
}

std::vector<std::shared_ptr<const ImageRecord>> ImageStore::List() const {
  return state_->catalog().List();
}

absl::StatusOr<std::string> ImageStore::Pull(const PullRequest& request, const Call& call,
                                             ProgressSink progress) {
  return state_->puller().Pull(request, call, progress);
}

absl::StatusOr<std::vector<LoadedImage>> ImageStore::Load(const std::string& path,
                                                          const std::string& name, const Call& call,
                                                          ProgressSink progress) {
  PullProgress layers;
  // Progress is told where the work looks at its caller anyway, by whichever thread comes by.
  absl::Mutex mutex;
  absl::Time next = absl::Now();
  Call watched = call;
  watched.cancelled = [&] {
    if (progress != nullptr && mutex.TryLock()) {
      if (absl::Now() >= next) {
        progress(layers.Now());
        next = absl::Now() + absl::Milliseconds(100);
      }
      mutex.Unlock();
    }
    return call.cancelled();
  };
  auto loaded =
      LoadImages(path, name, state_->root(), state_->catalog(), state_->options(), watched, layers);
  if (progress != nullptr) progress(layers.Now());
  return loaded;
}

absl::Status ImageStore::Remove(std::string_view image) {
  const auto record = Find(image);
  if (absl::IsNotFound(record.status())) return absl::OkStatus();
  RETURN_IF_ERROR(record.status());
  return state_->catalog().Remove((*record)->id);
}

absl::Status ImageStore::Lease(std::string_view image_id, std::string_view holder) {
  return state_->catalog().Lease(image_id, holder);
}

absl::Status ImageStore::Release(std::string_view holder) {
  return state_->catalog().Release(holder);
}

absl::StatusOr<std::vector<std::string>> ImageStore::Holders() const {
  return state_->catalog().Holders();
}

absl::StatusOr<FsUsage> ImageStore::Usage() const { return state_->catalog().Usage(); }

}  // namespace crisp
