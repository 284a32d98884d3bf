// TarWriter: a tar archive into a descriptor, ustar with pax headers for what does not fit there
// (long names, large sizes and owners, attributes, parts of a second). TarReader and every other
// tar read it. Blocks; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/call.h"
#include "image/tar_reader.h"

namespace crisp {

class TarWriter {
 public:
  // Both are borrowed; name is for the errors. The call is looked at while data is copied.
  TarWriter(int fd, std::string name, const Call& call)
      : fd_(fd), name_(std::move(name)), call_(call) {}

  // An entry without data, or a file whose data is `data`. entry.size is set from it.
  absl::Status Add(TarEntry entry, std::string_view data = "");
  // A file of entry.size bytes, which are read from `source` from its beginning. One that has
  // become shorter meanwhile is filled up with zeros; of one that has grown the first part is
  // taken.
  absl::Status AddFrom(const TarEntry& entry, int source);
  // The end of the archive; nothing can be added afterwards.
  absl::Status Finish();

  uint64_t bytes() const { return bytes_; }

 private:
  absl::Status Write(std::string_view data);
  absl::Status WriteHeader(const TarEntry& entry);
  absl::Status Pad(uint64_t size);

  const int fd_;
  const std::string name_;
  const Call& call_;
  uint64_t bytes_ = 0;
};

// The entry of a file as it is on disk, with its attributes (user.*, security.capability, ACLs),
// but without path and link. Unimplemented for a socket, which no archive can hold.
absl::StatusOr<TarEntry> DescribeFile(int parent_fd, const std::string& leaf);

}  // namespace crisp
