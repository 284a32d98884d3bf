// ArchiveReader: a checkpoint archive taken apart into a folder. The archive is hostile: only the
// files that a checkpoint has are taken, each a regular file at its one place; links, devices and
// doubled names are refused, sizes bounded. What is in CRIU's own images nobody here can judge: who
// restores an archive trusts it with the node. Blocks; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "base/call.h"
#include "image/byte_source.h"

namespace crisp {

struct ArchiveBounds {
  uint64_t max_bytes = uint64_t{1} << 42;  // of all files
  uint64_t max_entries = 200000;
  uint64_t max_document = 8 << 20;  // of one JSON file
  // A compressed one: its content is at most so many times its size, or this much.
  uint64_t max_ratio = 100;
  uint64_t small = 256 << 20;
};

// `folder` exists and is empty; after an error it is the caller's to remove. path is no symbolic
// link and a regular file; gzip and zstd are taken, too, and bounded by the size of the file.
// InvalidArgument for what is no checkpoint archive, DataLoss if it is cut off, ResourceExhausted
// beyond the bounds or on a full disk.
absl::Status UnpackArchive(const std::string& path, const std::string& folder,
                           const ArchiveBounds& bounds, const Call& call);
// The same of any source.
absl::Status UnpackArchive(ByteSource& source, const std::string& folder,
                           const ArchiveBounds& bounds);

// Whether such a folder, however it was filled, is a checkpoint: config.dump, spec.dump and CRIU's
// images are there, and everything that is read of it is a regular file. InvalidArgument if not.
absl::Status CheckUnpacked(const std::string& folder);

// A file from its beginning, a piece at a time; looks at the call.
class FileSource : public ByteSource {
 public:
  FileSource(int fd, std::string name, const Call& call);
  absl::StatusOr<std::string_view> Next() override;

 private:
  const int fd_;
  const std::string name_;
  const Call& call_;
  std::string buffer_;
};

}  // namespace crisp
