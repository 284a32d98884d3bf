// TarReader: entries and their data out of a tar stream: ustar, pax and GNU. Names are kept byte
// for byte, which is why this is not libarchive (it renormalises Unicode in pax names and ties them
// to the process's locale). Hostile input: every size is bounded. One thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "image/byte_source.h"

namespace crisp {

inline constexpr size_t kTarBlock = 512;  // bytes; pax(1), "ustar Interchange Format"

struct TarEntry {
  enum class Type { kFile, kHardLink, kSymlink, kCharDevice, kBlockDevice, kFolder, kFifo };
  Type type = Type::kFile;
  std::string path;
  std::string link;  // of hard and symbolic links
  mode_t mode = 0;   // permission bits only
  uid_t uid = 0;
  gid_t gid = 0;
  uint64_t size = 0;  // of a file
  int64_t mtime = 0;  // seconds since the epoch
  uint32_t mtime_ns = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  std::map<std::string, std::string> xattrs;
};

class TarReader {
 public:
  explicit TarReader(ByteSource& source) : source_(source) {}

  // Skips what is left of the current entry and reads the next one; false at the end of the
  // archive. InvalidArgument for what is no tar, DataLoss if it is cut off.
  absl::StatusOr<bool> NextEntry(TarEntry* entry);
  // The next piece of the current file's data, valid until the next call; empty at its end.
  absl::StatusOr<std::string_view> NextData();
  // Where the current file's data begins, in bytes from the start of the stream.
  uint64_t data_offset() const { return data_offset_; }
  // Reads the source to its end; whatever follows the archive is skipped.
  absl::Status Drain();

 private:
  struct Extension;
  absl::StatusOr<std::string_view> Piece(size_t most);
  absl::StatusOr<bool> ReadBlock(char* block);
  absl::StatusOr<std::string> ReadWhole(uint64_t size, std::string_view what);
  absl::Status Skip(uint64_t bytes);
  absl::Status ParseHeader(const char* block, const Extension& extension, TarEntry* entry);
  absl::Status ApplyPax(const Extension& extension, TarEntry* entry) const;

  ByteSource& source_;
  std::string_view rest_;  // of the source's current piece
  uint64_t consumed_ = 0;  // bytes of the stream so far
  uint64_t data_offset_ = 0;
  uint64_t data_left_ = 0;
  uint64_t padding_ = 0;
  bool ended_ = false;
};

}  // namespace crisp
