// Manifests and indexes, OCI and Docker v2 schema 2: parsed with every bound checked, and the entry
// for this machine chosen from an index. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crisp {

struct Platform {
  std::string os = "linux";
  std::string architecture;  // Go's words: amd64, arm64, arm, ...
  std::string variant;       // "v7"; empty if there is only one kind

  static Platform OfThisMachine();
  std::string Text() const;  // linux/arm/v7
};

struct Descriptor {
  std::string media_type;
  std::string digest;  // a checked "sha256:..."
  int64_t size = 0;    // not negative
};

struct ImageManifest {
  Descriptor config;
  std::vector<Descriptor> layers;  // the base first
  // The annotation by which Kubernetes' runtimes know a checkpoint: the name of the container that
  // it is of, or "".
  std::string checkpoint;
};

struct IndexEntry {
  Descriptor manifest;
  Platform platform;  // architecture empty: the index does not say
};

// One document: exactly one of the two is filled.
struct ManifestDocument {
  bool is_index = false;
  ImageManifest image;
  std::vector<IndexEntry> index;
};

constexpr size_t kMaxLayers = 500;
constexpr size_t kMaxIndexEntries = 1000;

// What is acceptable to us, for the Accept header.
extern const char* const kManifestMediaTypes;

// InvalidArgument: what is wrong. A document that could be read as either kind is refused, whatever
// its media type (CVE-2021-41190); Unimplemented for schema 1, encrypted layers and artifacts.
absl::StatusOr<ManifestDocument> ParseManifest(std::string_view text, std::string_view content_type,
                                               std::string_view name);

// The manifest that fits best: same architecture, and the highest variant that still runs here.
// NotFound names what there is.
absl::StatusOr<Descriptor> ChoosePlatform(const std::vector<IndexEntry>& index,
                                          const Platform& platform, std::string_view name);

}  // namespace crisp
