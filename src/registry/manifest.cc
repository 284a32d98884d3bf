#include "registry/manifest.h"

#include <sys/utsname.h>

#include <algorithm>
#include <optional>

#include "base/json.h"
#include "base/status.h"
#include "registry/reference.h"

namespace crisp {

const char* const kManifestMediaTypes =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json";

namespace {

enum class Kind { kUnknown, kIndex, kImage, kSchema1 };

constexpr int64_t kMaxBlobBytes = int64_t{1} << 40;

Kind KindOf(std::string_view media_type) {
  media_type = Trim(media_type.substr(0, media_type.find(';')));
  if (media_type == "application/vnd.oci.image.index.v1+json" ||
      media_type == "application/vnd.docker.distribution.manifest.list.v2+json") {
    return Kind::kIndex;
  }
  if (media_type == "application/vnd.oci.image.manifest.v1+json" ||
      media_type == "application/vnd.docker.distribution.manifest.v2+json") {
    return Kind::kImage;
  }
  if (media_type.find("manifest.v1") != std::string_view::npos) return Kind::kSchema1;
  return Kind::kUnknown;
}

absl::Status BadManifest(std::string_view name, std::string_view why) {
  return absl::InvalidArgumentError(Cat("manifest of ", name, ": ", why));
}

absl::StatusOr<Descriptor> ParseDescriptor(const Json& json, std::string_view what,
                                           std::string_view name) {
  if (!json.is_object()) return BadManifest(name, Cat(what, " is no object"));
  Descriptor descriptor;
  descriptor.media_type = JsonString(json, "mediaType");
  descriptor.digest = JsonString(json, "digest");
  if (!IsDigest(descriptor.digest))
    return BadManifest(name, Cat(what, " has no valid sha256 digest"));
  const Json* size = JsonMember(json, "size");
  if (size == nullptr || !size->is_number_integer())
    return BadManifest(name, Cat(what, " has no size"));
  descriptor.size = JsonInt(json, "size", -1);
  if (descriptor.size < 0 || descriptor.size > kMaxBlobBytes) {
    return BadManifest(name, Cat(what, " has an impossible size"));
  }
  return descriptor;
}

absl::Status CheckLayerType(const Descriptor& layer, std::string_view name) {
  const std::string_view type = layer.media_type;
  if (type.find("+encrypted") != std::string_view::npos) {
    return absl::UnimplementedError(Cat("image ", name, ": layer ", layer.digest,
                                        " is encrypted, which crisp does not support"));
  }
  // The compression is seen in the bytes themselves; here only what is no layer at all is refused.
  if (type.empty() || type.find("tar") != std::string_view::npos) return absl::OkStatus();
  return absl::UnimplementedError(Cat(name, " is no container image: layer ", layer.digest,
                                      " has media type ", type.substr(0, 100)));
}

absl::StatusOr<ManifestDocument> ParseImage(const Json& json, std::string_view name) {
  ManifestDocument document;
  const Json* config = JsonMember(json, "config");
  const Json* layers = JsonMember(json, "layers");
  if (config == nullptr || layers == nullptr || !layers->is_array()) {
    return BadManifest(name, "it lacks config or layers");
  }
  if (layers->size() > kMaxLayers)
    return BadManifest(name, Cat("it has more than ", kMaxLayers, " layers"));
  ASSIGN_OR_RETURN(document.image.config, ParseDescriptor(*config, "config", name));
  for (const Json& layer : *layers) {
    ASSIGN_OR_RETURN(Descriptor descriptor, ParseDescriptor(layer, "a layer", name));
    RETURN_IF_ERROR(CheckLayerType(descriptor, name));
    document.image.layers.push_back(std::move(descriptor));
  }
  if (const Json* annotations = JsonMember(json, "annotations"); annotations != nullptr) {
    for (const char* key : {"org.criu.checkpoint.container.name",
                            "io.kubernetes.cri-o.annotations.checkpoint.name"}) {
      std::string& checkpoint = document.image.checkpoint;
      if (checkpoint.empty()) checkpoint = JsonString(*annotations, key).substr(0, 256);
    }
  }
  return document;
}

absl::StatusOr<ManifestDocument> ParseIndex(const Json& manifests, std::string_view name) {
  if (!manifests.is_array()) return BadManifest(name, "its manifests are no list");
  if (manifests.size() > kMaxIndexEntries) {
    return BadManifest(name, Cat("the index has more than ", kMaxIndexEntries, " entries"));
  }
  ManifestDocument document;
  document.is_index = true;
  for (const Json& entry : manifests) {
    IndexEntry parsed;
    ASSIGN_OR_RETURN(parsed.manifest, ParseDescriptor(entry, "an index entry", name));
    parsed.platform.os.clear();
    if (const Json* platform = JsonMember(entry, "platform")) {
      parsed.platform.os = JsonString(*platform, "os");
      parsed.platform.architecture = JsonString(*platform, "architecture");
      parsed.platform.variant = JsonString(*platform, "variant");
    }
    document.index.push_back(std::move(parsed));
  }
  return document;
}

// How well an entry fits, or nullopt if it cannot run here. Higher is better.
std::optional<int> Fit(const Platform& entry, const Platform& machine) {
  if (entry.os != machine.os || entry.architecture != machine.architecture) return std::nullopt;
  const auto number = [](std::string_view variant, int fallback) {
    if (variant.size() < 2 || variant[0] != 'v' || variant[1] < '0' || variant[1] > '9') {
      return variant.empty() ? fallback : -1;
    }
    return variant[1] - '0';
  };
  // No variant means v8 on arm64, v7 on arm and v1 on amd64, as Go's platform package has it.
  const int base = machine.architecture == "arm64" ? 8 : machine.architecture == "arm" ? 7 : 1;
  const int wanted = number(machine.variant, base);
  const int offered = number(entry.variant, base);
  if (offered < 0) return entry.variant == machine.variant ? std::optional<int>(100) : std::nullopt;
  if (offered > wanted) return std::nullopt;
  return offered;
}

}  // namespace

Platform Platform::OfThisMachine() {
  utsname names;
  Platform platform;
  const std::string machine = uname(&names) == 0 ? names.machine : "";
  if (machine == "x86_64") {
    platform.architecture = "amd64";
  } else if (machine == "aarch64") {
    platform.architecture = "arm64";
    platform.variant = "v8";
  } else if (machine.starts_with("armv")) {
    platform.architecture = "arm";
    platform.variant = machine.substr(3, 2);
  } else if (machine == "i686" || machine == "i386") {
    platform.architecture = "386";
  } else if (machine == "loongarch64") {
    platform.architecture = "loong64";
  } else {
    platform.architecture = machine;  // riscv64, ppc64le, s390x are the same words
  }
  return platform;
}

std::string Platform::Text() const {
  return variant.empty() ? Cat(os, "/", architecture) : Cat(os, "/", architecture, "/", variant);
}

absl::StatusOr<ManifestDocument> ParseManifest(std::string_view text, std::string_view content_type,
                                               std::string_view name) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text, Cat("manifest of ", name)));
  if (!json.is_object()) return BadManifest(name, "it is no JSON object");
  const bool has_manifests = JsonMember(json, "manifests") != nullptr;
  const bool has_image =
      JsonMember(json, "layers") != nullptr || JsonMember(json, "config") != nullptr;
  const Kind inside = KindOf(JsonString(json, "mediaType"));
  const Kind outside = KindOf(content_type);
  if (JsonInt(json, "schemaVersion", 2) == 1 || JsonMember(json, "fsLayers") != nullptr) {
    return absl::UnimplementedError(Cat("image ", name,
                                        " has a Docker schema 1 manifest, a format "
                                        "given up in 2017; push it again with a current tool"));
  }
  if (has_manifests && has_image) return BadManifest(name, "it is both an index and an image");
  if (!has_manifests && !has_image) return BadManifest(name, "it is neither an index nor an image");
  const Kind is = has_manifests ? Kind::kIndex : Kind::kImage;
  if ((inside != Kind::kUnknown && inside != is) || (outside != Kind::kUnknown && outside != is)) {
    return BadManifest(name, "its media type is not what it holds");
  }
  return has_manifests ? ParseIndex(*JsonMember(json, "manifests"), name) : ParseImage(json, name);
}

absl::StatusOr<Descriptor> ChoosePlatform(const std::vector<IndexEntry>& index,
                                          const Platform& platform, std::string_view name) {
  const IndexEntry* best = nullptr;
  int best_fit = -1;
  for (const IndexEntry& entry : index) {
    const std::optional<int> fit = Fit(entry.platform, platform);
    if (fit.has_value() && *fit > best_fit) {
      best = &entry;
      best_fit = *fit;
    }
  }
  // An index of one image may say nothing about platforms.
  if (best == nullptr && index.size() == 1 && index[0].platform.architecture.empty())
    best = &index[0];
  if (best != nullptr) return best->manifest;
  std::string offered;
  for (const IndexEntry& entry : index) {
    if (entry.platform.architecture.empty() || entry.platform.architecture == "unknown") continue;
    if (offered.size() > 300) break;
    offered += Cat(offered.empty() ? "" : ", ", entry.platform.Text().substr(0, 60));
  }
  return absl::NotFoundError(Cat("image ", name, " has nothing for ", platform.Text(),
                                 ", only for ", offered.empty() ? "no platform at all" : offered));
}

}  // namespace crisp
