// ImageArchive: the files of a local image archive, by name: a folder, a tar, or a gzip or zstd
// compressed tar (unpacked first into a nameless temporary file). Reading is safe from several
// threads at once.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/call.h"

namespace crisp {

class ImageArchive {
 public:
  virtual ~ImageArchive() = default;

  // `scratch` is a folder for the temporary file, which holds at most max_bytes. NotFound if there
  // is nothing at `path`, InvalidArgument if it is neither a folder nor a tar.
  static absl::StatusOr<std::unique_ptr<ImageArchive>> Open(const std::string& path,
                                                            const std::string& scratch,
                                                            uint64_t max_bytes, const Call& call);

  // NotFound if there is no such file.
  virtual absl::StatusOr<uint64_t> Size(const std::string& name) const = 0;
  virtual absl::Status Read(const std::string& name, const Call& call,
                            const std::function<absl::Status(std::string_view)>& sink) const = 0;
  absl::StatusOr<std::string> ReadSmall(const std::string& name, size_t max_bytes,
                                        const Call& call) const;
};

}  // namespace crisp
