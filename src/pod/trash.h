// Trash: takes folders away at once and removes their content later. Throw() is a rename into
// <root>/trash, so that a big writable layer costs its caller nothing; a background thread does the
// removal, and the next start does what a crash left over. Any thread.
#pragma once

#include <atomic>
#include <string>

#include "absl/status/statusor.h"
#include "pod/worker.h"

namespace crisp {

class Trash {
 public:
  // `folder` must be on the file system of what is thrown in; made if absent. What lies there
  // already is removed soon.
  static absl::StatusOr<std::unique_ptr<Trash>> Open(const std::string& folder);

  // Ok if path is absent.
  absl::Status Throw(const std::string& path);

  // Waits until all that was thrown in so far is gone.
  void Drain() { worker_.Drain(); }

 private:
  explicit Trash(std::string folder) : folder_(std::move(folder)) {}
  void RemoveLater(std::string path);

  const std::string folder_;
  std::atomic<uint64_t> next_ = 0;
  Worker worker_;
};

}  // namespace crisp
