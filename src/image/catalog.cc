#include "image/catalog.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"
#include "registry/reference.h"

namespace crisp {

absl::StatusOr<std::unique_ptr<ImageCatalog>> ImageCatalog::Open(
    const std::string& root, Database& database, const std::vector<std::string>& pinned) {
  std::set<std::string> pinned_names;
  for (const std::string& name : pinned) {
    ASSIGN_OR_RETURN(const Reference reference, Reference::Parse(name));
    pinned_names.insert(reference.Text());
  }
  ASSIGN_OR_RETURN(ImageTable table, ImageTable::Open(database));
  const std::string folder = JoinPath(root, "layers");
  RETURN_IF_ERROR(MakeFolders(folder, 0700));
  std::unique_ptr<ImageCatalog> catalog(
      new ImageCatalog(folder, std::move(table), std::move(pinned_names)));
  absl::MutexLock lock(&catalog->mutex_);
  RETURN_IF_ERROR(catalog->Load());
  return catalog;
}

std::string ImageCatalog::FolderOfLayer(int64_t number) const { return Cat(folder_, "/", number); }

absl::Status ImageCatalog::Load() {
  ASSIGN_OR_RETURN(const std::vector<LayerRow> rows, table_.Layers());
  for (const LayerRow& row : rows) {
    next_number_ = std::max(next_number_, row.number + 1);
    layers_[row.diff_id] = row;
  }
  // An image whose layer has vanished from the disk is forgotten: pulling again mends it.
  ASSIGN_OR_RETURN(const std::vector<ImageRow> images, table_.Images());
  for (const ImageRow& image : images) {
    const bool whole = std::all_of(image.layers.begin(), image.layers.end(), [&](int64_t number) {
      return PathExists(FolderOfLayer(number));
    });
    if (whole) continue;
    LOG_WARN("image {} lacks a layer folder below {} and is forgotten; pull it again", image.id,
             folder_);
    RETURN_IF_ERROR(table_.RemoveImage(image.id));
  }
  Collect();
  RETURN_IF_ERROR(RemoveLeftovers());
  return Publish();
}

// Folders that no row names: of pulls that a crash ended, or of removals it cut short.
absl::Status ImageCatalog::RemoveLeftovers() {
  std::set<int64_t> known;
  std::vector<std::string> gone;
  for (const auto& [diff_id, row] : layers_) {
    known.insert(row.number);
    if (!PathExists(FolderOfLayer(row.number))) gone.push_back(diff_id);
  }
  // A layer without its folder must not be found again; a lease on it is void either way.
  for (const std::string& diff_id : gone) {
    RETURN_IF_ERROR(table_.ForgetLayer(layers_[diff_id].number));
    layers_.erase(diff_id);
  }
  std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(folder_.c_str()), closedir);
  if (folder == nullptr) return ErrnoStatus("open ", folder_);
  std::vector<std::string> leftovers;
  while (const dirent* entry = readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    int64_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    next_number_ = std::max(next_number_, number + 1);
    if (!known.contains(number)) leftovers.emplace_back(name);
  }
  for (const std::string& name : leftovers) {
    if (absl::Status status = RemoveTree(JoinPath(folder_, name)); !status.ok())
      LOG_WARN("{}", status.ToString());
  }
  return absl::OkStatus();
}

// Makes what the database says visible to readers.
absl::Status ImageCatalog::Publish() {
  ASSIGN_OR_RETURN(const std::vector<ImageRow> rows, table_.Images());
  auto snapshot = std::make_shared<Snapshot>();
  for (const ImageRow& row : rows) {
    auto record = std::make_shared<ImageRecord>();
    record->id = row.id;
    record->repo_tags = row.tags;
    record->repo_digests = row.digests;
    record->size = row.size;
    record->config_json = row.config;
    record->passwd = row.passwd;
    record->group = row.group;
    record->checkpoint = row.checkpoint;
    record->pulled_at = row.pulled_at;
    std::set<int64_t> seen;
    for (auto layer = row.layers.rbegin(); layer != row.layers.rend(); ++layer) {
      // A layer that comes twice counts once, at its highest place: below it hides nothing more,
      // and overlayfs refuses the same folder twice.
      if (seen.insert(*layer).second) record->layer_folders.push_back(FolderOfLayer(*layer));
    }
    for (const auto* names : {&row.tags, &row.digests}) {
      for (const std::string& name : *names) {
        snapshot->names[name] = row.id;
        if (pinned_.contains(name)) record->pinned = true;
      }
    }
    snapshot->by_id[row.id] = std::move(record);
  }
  absl::MutexLock lock(&snapshot_mutex_);
  snapshot_ = std::move(snapshot);
  return absl::OkStatus();
}

std::shared_ptr<const ImageCatalog::Snapshot> ImageCatalog::Current() const {
  absl::MutexLock lock(&snapshot_mutex_);
  return snapshot_;
}

std::shared_ptr<const ImageRecord> ImageCatalog::ByName(const std::string& name) const {
  const auto snapshot = Current();
  const auto found = snapshot->names.find(name);
  return found == snapshot->names.end() ? nullptr : snapshot->by_id.at(found->second);
}

absl::StatusOr<std::shared_ptr<const ImageRecord>> ImageCatalog::Find(
    std::string_view image) const {
  const auto snapshot = Current();
  const auto reference = Reference::Parse(image);
  if (reference.ok()) {
    const auto named = snapshot->names.find(reference->Text());
    if (named != snapshot->names.end()) return snapshot->by_id.at(named->second);
  }
  std::string_view hex = image;
  constexpr std::string_view kPrefix = "sha256:";
  if (hex.starts_with(kPrefix)) hex.remove_prefix(kPrefix.size());
  if (hex.empty() || !IsHex(hex) || hex.size() > 64) {
    if (!reference.ok()) return reference.status();
    return absl::NotFoundError(Cat("image ", image, " is not on this node"));
  }
  const std::string prefix = Cat(kPrefix, hex);
  const auto first = snapshot->by_id.lower_bound(prefix);
  if (first == snapshot->by_id.end() || !first->first.starts_with(prefix)) {
    return absl::NotFoundError(Cat("image ", image, " is not on this node"));
  }
  const auto second = std::next(first);
  if (second != snapshot->by_id.end() && second->first.starts_with(prefix)) {
    return absl::InvalidArgumentError(Cat("image id ", image, " is ambiguous: it begins ",
                                          first->first, " and ", second->first,
                                          "; give more of it"));
  }
  return first->second;
}

std::vector<std::shared_ptr<const ImageRecord>> ImageCatalog::List() const {
  const auto snapshot = Current();
  std::vector<std::shared_ptr<const ImageRecord>> records;
  for (const auto& [id, record] : snapshot->by_id) records.push_back(record);
  return records;
}

absl::StatusOr<HeldLayer> ImageCatalog::Hold(const std::string& diff_id, const Call& call) {
  absl::MutexLock lock(&mutex_);
  while (true) {
    RETURN_IF_ERROR(call.Check());
    HeldLayer layer{diff_id};
    if (const auto row = layers_.find(diff_id); row != layers_.end()) {
      layer.number = row->second.number;
    } else if (const auto pending = pending_.find(diff_id); pending == pending_.end()) {
      layer.number = next_number_++;
      layer.to_fetch = true;
    } else if (pending->second.fetched) {
      layer.number = pending->second.number;
    } else {
      // Another pull is at it; it may fail, so look again.
      const auto changed = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        const auto now = pending_.find(diff_id);
        return now == pending_.end() || now->second.fetched;
      };
      mutex_.AwaitWithTimeout(absl::Condition(&changed), absl::Milliseconds(50));
      continue;
    }
    layer.folder = FolderOfLayer(layer.number);
    if (layer.to_fetch) {
      if (mkdir(layer.folder.c_str(), 0755) != 0)
        return ErrnoStatus("make layer folder ", layer.folder);
      pending_[diff_id].number = layer.number;
    }
    ++holds_[layer.number];
    return layer;
  }
}

void ImageCatalog::Fetched(const HeldLayer& layer, const UnpackedLayer& facts) {
  absl::MutexLock lock(&mutex_);
  Pending& pending = pending_[layer.diff_id];
  pending.fetched = true;
  pending.facts = facts;
}

void ImageCatalog::Failed(const HeldLayer& layer) {
  {
    absl::MutexLock lock(&mutex_);
    pending_.erase(layer.diff_id);
    holds_.erase(layer.number);
  }
  RemoveFolders({layer.number});
}

void ImageCatalog::Drop(const HeldLayer& layer, std::vector<int64_t>* unused) {
  const auto hold = holds_.find(layer.number);
  if (hold == holds_.end() || --hold->second > 0) return;
  holds_.erase(hold);
  const auto pending = pending_.find(layer.diff_id);
  if (pending == pending_.end() || pending->second.number != layer.number) return;
  pending_.erase(pending);
  unused->push_back(layer.number);
}

void ImageCatalog::LetGo(const std::vector<HeldLayer>& layers) {
  std::vector<int64_t> unused;
  {
    absl::MutexLock lock(&mutex_);
    for (const HeldLayer& layer : layers) Drop(layer, &unused);
    const std::vector<int64_t> collected = Collect();
    unused.insert(unused.end(), collected.begin(), collected.end());
  }
  RemoveFolders(unused);
}

absl::Status ImageCatalog::Commit(const NewImage& image) {
  absl::MutexLock lock(&mutex_);
  ImageRow row;
  row.id = image.id;
  row.size = std::max<uint64_t>(1, image.size);
  row.config = image.config;
  row.passwd = image.passwd;
  row.group = image.group;
  row.checkpoint = image.checkpoint;
  row.pulled_at = absl::GetCurrentTimeNanos();
  row.tags = image.tags;
  row.digests = image.digests;
  std::vector<LayerRow> new_layers;
  for (const HeldLayer& layer : image.layers) {
    row.layers.push_back(layer.number);
    const auto pending = pending_.find(layer.diff_id);
    const bool seen = std::any_of(new_layers.begin(), new_layers.end(),
                                  [&](const LayerRow& l) { return l.diff_id == layer.diff_id; });
    if (pending == pending_.end() || seen) continue;
    const UnpackedLayer& facts = pending->second.facts;
    new_layers.push_back({layer.number, layer.diff_id, facts.bytes, facts.inodes});
  }
  RETURN_IF_ERROR(table_.Commit(row, new_layers));
  for (const LayerRow& layer : new_layers) {
    layers_[layer.diff_id] = layer;
    pending_.erase(layer.diff_id);
  }
  return Publish();
}

absl::Status ImageCatalog::AddNames(const std::string& id, const std::vector<std::string>& tags,
                                    const std::vector<std::string>& digests) {
  absl::MutexLock lock(&mutex_);
  if (!Current()->by_id.contains(id))
    return absl::NotFoundError(Cat("image ", id, " has been removed meanwhile"));
  RETURN_IF_ERROR(table_.AddNames(id, tags, digests));
  return Publish();
}

absl::Status ImageCatalog::Remove(const std::string& id) {
  std::vector<int64_t> unused;
  {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(table_.RemoveImage(id));
    RETURN_IF_ERROR(Publish());
    unused = Collect();
  }
  RemoveFolders(unused);
  return absl::OkStatus();
}

absl::Status ImageCatalog::Lease(std::string_view id, std::string_view holder) {
  absl::MutexLock lock(&mutex_);
  if (!Current()->by_id.contains(std::string(id))) {
    return absl::NotFoundError(Cat("image ", id, " is not on this node"));
  }
  return table_.Lease(id, holder);
}

absl::Status ImageCatalog::Release(std::string_view holder) {
  std::vector<int64_t> unused;
  {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(table_.Release(holder));
    unused = Collect();
  }
  RemoveFolders(unused);
  return absl::OkStatus();
}

// Forgets layers that nobody needs; their folders are for the caller to remove, without the lock.
std::vector<int64_t> ImageCatalog::Collect() {
  std::set<int64_t> held;
  for (const auto& [number, count] : holds_) held.insert(number);
  auto unused = table_.DropUnusedLayers(held);
  if (!unused.ok()) {
    LOG_WARN("unused layers stay: {}", unused.status().ToString());
    return {};
  }
  std::erase_if(layers_, [&](const auto& layer) {
    return std::find(unused->begin(), unused->end(), layer.second.number) != unused->end();
  });
  return *std::move(unused);
}

void ImageCatalog::RemoveFolders(const std::vector<int64_t>& numbers) const {
  for (const int64_t number : numbers) {
    absl::Status status = RemoveTree(FolderOfLayer(number));
    // The next start removes what is left.
    if (!status.ok()) LOG_WARN("layer {}: {}", number, status.ToString());
  }
}

FsUsage ImageCatalog::Usage() const {
  FsUsage usage{folder_};
  absl::MutexLock lock(&mutex_);
  for (const auto& [diff_id, row] : layers_) {
    usage.used_bytes += row.bytes;
    usage.inodes_used += row.inodes;
  }
  return usage;
}

}  // namespace crisp
