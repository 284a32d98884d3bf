#include "image/load.h"

#include <map>

#include "base/json.h"
#include "base/status.h"
#include "image/image_archive.h"
#include "image/import.h"
#include "registry/reference.h"
#include "registry/sha256.h"

namespace crisp {
namespace {

constexpr size_t kMaxJson = 8 << 20;
constexpr size_t kMaxImages = 1000;

// Blobs of an archive. A docker save archive names its files itself: by digest in `files`.
class ArchiveBlobs : public BlobStore {
 public:
  explicit ArchiveBlobs(const ImageArchive& archive) : archive_(archive) {}
  std::map<std::string, std::string> files;

  absl::StatusOr<std::string> ReadSmall(const Descriptor& blob, const Call& call) override {
    ASSIGN_OR_RETURN(std::string content, archive_.ReadSmall(FileOf(blob), kMaxJson, call));
    if (Sha256::Of(content) != blob.digest) return Damaged(blob);
    return content;
  }
  absl::Status Read(const Descriptor& blob, const Call& call,
                    const std::function<absl::Status(std::string_view)>& sink) override {
    Sha256 hash;
    RETURN_IF_ERROR(archive_.Read(FileOf(blob), call, [&](std::string_view bytes) {
      hash.Add(bytes);
      return sink(bytes);
    }));
    // Of a named file only the diff id is known, which is checked for every layer anyway.
    if (!files.contains(blob.digest) && hash.Digest() != blob.digest) return Damaged(blob);
    return absl::OkStatus();
  }

 private:
  std::string FileOf(const Descriptor& blob) const {
    const auto named = files.find(blob.digest);
    return named != files.end() ? named->second
                                : Cat("blobs/sha256/", std::string_view(blob.digest).substr(7));
  }
  absl::Status Damaged(const Descriptor& blob) const {
    return absl::DataLossError(
        Cat("the archive's blob ", blob.digest, " has another content than its name says"));
  }

  const ImageArchive& archive_;
};

class Loader {
 public:
  Loader(const std::string& path, const std::string& name, const ImageArchive& archive,
         ImageCatalog& catalog, const ImageStoreOptions& options, const Call& call,
         PullProgress& progress)
      : path_(path),
        name_(name),
        archive_(archive),
        catalog_(catalog),
        options_(options),
        call_(call),
        progress_(progress) {}

  absl::StatusOr<std::vector<LoadedImage>> Load() {
    if (archive_.Size("index.json").ok()) {
      RETURN_IF_ERROR(LoadLayout());
    } else if (archive_.Size("manifest.json").ok()) {
      RETURN_IF_ERROR(LoadDockerArchive());
    } else {
      return absl::InvalidArgumentError(Cat(path_,
                                            " is no image: it holds neither index.json (OCI "
                                            "layout) nor manifest.json (docker save)"));
    }
    if (loaded_.empty()) {
      return absl::NotFoundError(
          Cat(path_, " holds no image for ", Platform::OfThisMachine().Text()));
    }
    return std::move(loaded_);
  }

 private:
  absl::Status LoadLayout() {
    ASSIGN_OR_RETURN(const std::string text, archive_.ReadSmall("index.json", kMaxJson, call_));
    ASSIGN_OR_RETURN(const Json json, ParseJson(text, Cat("index.json of ", path_)));
    ASSIGN_OR_RETURN(const ManifestDocument document, ParseManifest(text, "", path_));
    if (!document.is_index)
      return absl::InvalidArgumentError(Cat("index.json of ", path_, " is no index"));
    const Json& entries = *JsonMember(json, "manifests");
    for (size_t i = 0; i < document.index.size(); ++i) {
      const IndexEntry& entry = document.index[i];
      // A list of one image for several platforms: only ours is loaded.
      if (!entry.platform.architecture.empty() &&
          !ChoosePlatform({entry}, Platform::OfThisMachine(), path_).ok()) {
        continue;
      }
      RETURN_IF_ERROR(
          LoadManifest(entry.manifest, NamesOf(entries[i], document.index.size() == 1)));
    }
    return absl::OkStatus();
  }

  // What an index entry's annotations, and the caller, call the image.
  std::vector<std::string> NamesOf(const Json& entry, bool only_one) const {
    std::string full, short_name;
    if (const Json* annotations = JsonMember(entry, "annotations")) {
      full = JsonString(*annotations, "io.containerd.image.name");
      short_name = JsonString(*annotations, "org.opencontainers.image.ref.name");
    }
    if (!name_.empty() && only_one) return {name_};
    if (!full.empty()) return {full};
    if (short_name.find_first_of("/:") != std::string::npos) return {short_name};
    if (!name_.empty() && !short_name.empty() &&
        Reference::Parse(Cat(name_, ":", short_name)).ok()) {
      return {Cat(name_, ":", short_name)};
    }
    return {};  // found by its id
  }

  absl::Status LoadManifest(Descriptor descriptor, const std::vector<std::string>& names) {
    ArchiveBlobs blobs(archive_);
    const std::string digest = descriptor.digest;
    for (int depth = 0; depth < 4; ++depth) {
      ASSIGN_OR_RETURN(const std::string text, blobs.ReadSmall(descriptor, call_));
      ASSIGN_OR_RETURN(const ManifestDocument document,
                       ParseManifest(text, descriptor.media_type, path_));
      if (!document.is_index) return Import(document.image, names, digest, blobs);
      ASSIGN_OR_RETURN(descriptor,
                       ChoosePlatform(document.index, Platform::OfThisMachine(), path_));
    }
    return absl::InvalidArgumentError(Cat(path_, ": its indexes nest too deep"));
  }

  // [{"Config": "<file>", "RepoTags": [...], "Layers": ["<file>", ...]}, ...]
  absl::Status LoadDockerArchive() {
    ASSIGN_OR_RETURN(const std::string text, archive_.ReadSmall("manifest.json", kMaxJson, call_));
    ASSIGN_OR_RETURN(const Json json, ParseJson(text, Cat("manifest.json of ", path_)));
    if (!json.is_array() || json.size() > kMaxImages)
      return absl::InvalidArgumentError(Cat("manifest.json of ", path_, " is no list of images"));
    for (const Json& image : json) RETURN_IF_ERROR(LoadDockerImage(image, json.size() == 1));
    return absl::OkStatus();
  }

  absl::Status LoadDockerImage(const Json& image, bool only_one) {
    const auto bad = [&](std::string_view why) {
      return absl::InvalidArgumentError(Cat("manifest.json of ", path_, ": ", why));
    };
    const std::string config_file = JsonString(image, "Config");
    const Json* layer_files = JsonMember(image, "Layers");
    if (config_file.empty() || layer_files == nullptr || !layer_files->is_array())
      return bad("an image lacks Config or Layers");
    ASSIGN_OR_RETURN(const std::string config, archive_.ReadSmall(config_file, kMaxJson, call_));
    ASSIGN_OR_RETURN(const Json parsed, ParseJson(config, config_file));
    const Json* rootfs = JsonMember(parsed, "rootfs");
    const Json* diff_ids = rootfs == nullptr ? nullptr : JsonMember(*rootfs, "diff_ids");
    if (diff_ids == nullptr || !diff_ids->is_array() || diff_ids->size() != layer_files->size())
      return bad("its layers are not those of the config");
    ArchiveBlobs blobs(archive_);
    ImageManifest manifest;
    manifest.config = {"", Sha256::Of(config), static_cast<int64_t>(config.size())};
    blobs.files[manifest.config.digest] = config_file;
    for (size_t i = 0; i < layer_files->size(); ++i) {
      const Json& file = (*layer_files)[i];
      const Json& diff_id = (*diff_ids)[i];
      if (!file.is_string() || !diff_id.is_string() ||
          !IsDigest(diff_id.get_ref<const std::string&>()))
        return bad("a layer is malformed");
      ASSIGN_OR_RETURN(const uint64_t size, archive_.Size(file.get<std::string>()));
      manifest.layers.push_back({"", diff_id.get<std::string>(), static_cast<int64_t>(size)});
      blobs.files[manifest.layers.back().digest] = file.get<std::string>();
    }
    std::vector<std::string> names;
    if (const Json* tags = JsonMember(image, "RepoTags"); tags != nullptr && tags->is_array()) {
      for (const Json& tag : *tags) {
        if (tag.is_string() && names.size() < kMaxImages) names.push_back(tag.get<std::string>());
      }
    }
    if (!name_.empty() && only_one) names = {name_};
    return Import(manifest, names, "", blobs);
  }

  absl::Status Import(const ImageManifest& manifest, const std::vector<std::string>& names,
                      const std::string& digest, BlobStore& blobs) {
    ImportRequest request;
    request.name = names.empty() ? manifest.config.digest : names[0];
    request.manifest = manifest;
    for (const std::string& name : names) {
      ASSIGN_OR_RETURN(const Reference reference, Reference::Parse(name));
      if (!reference.tag.empty()) request.tags.push_back(reference.NameWithTag());
      if (!digest.empty()) request.digests.push_back(reference.AtDigest(digest));
    }
    ASSIGN_OR_RETURN(const std::string id,
                     ImportImage(request, blobs, catalog_, options_, call_, progress_));
    loaded_.push_back({id, request.tags});
    return absl::OkStatus();
  }

  const std::string& path_;
  const std::string& name_;
  const ImageArchive& archive_;
  ImageCatalog& catalog_;
  const ImageStoreOptions& options_;
  const Call& call_;
  PullProgress& progress_;
  std::vector<LoadedImage> loaded_;
};

}  // namespace

absl::StatusOr<std::vector<LoadedImage>> LoadImages(const std::string& path,
                                                    const std::string& name,
                                                    const std::string& scratch,
                                                    ImageCatalog& catalog,
                                                    const ImageStoreOptions& options,
                                                    const Call& call, PullProgress& progress) {
  if (!name.empty()) RETURN_IF_ERROR(Reference::Parse(name).status());
  ASSIGN_OR_RETURN(const auto archive,
                   ImageArchive::Open(path, scratch, options.max_layer_bytes, call));
  return Loader(path, name, *archive, catalog, options, call, progress).Load();
}

}  // namespace crisp
