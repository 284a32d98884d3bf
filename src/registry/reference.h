// Reference: an image's name, taken apart and made whole the way every Kubernetes client expects:
// "busybox" is docker.io/library/busybox:latest. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace crisp {

struct Reference {
  std::string host;        // "docker.io", "127.0.0.1:5000", "[::1]:5000"
  std::string repository;  // "library/busybox"
  std::string tag;         // "latest" if neither tag nor digest was given; may stand with a digest
  std::string digest;      // "sha256:<64 hex>" or empty; when both are given, the digest counts

  // InvalidArgument naming the text and what is wrong with it. The grammar is that of the
  // distribution project ("distribution/reference").
  static absl::StatusOr<Reference> Parse(std::string_view text);

  std::string Name() const;         // host/repository
  std::string NameWithTag() const;  // host/repository:tag, or "" without a tag
  std::string Text() const;         // host/repository:tag, or host/repository@digest
  std::string Asked() const;        // what the registry is asked for: the digest, else the tag
  std::string AtDigest(std::string_view other) const;  // host/repository@other
};

// "sha256:" and 64 lower-case hex digits.
bool IsDigest(std::string_view text);

}  // namespace crisp
