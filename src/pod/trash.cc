#include "pod/trash.h"

#include <stdio.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp {

absl::StatusOr<std::unique_ptr<Trash>> Trash::Open(const std::string& folder) {
  RETURN_IF_ERROR(MakeFolders(folder, 0700));
  std::unique_ptr<Trash> trash(new Trash(folder));
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    trash->RemoveLater(entry.path());
  }
  if (error) return absl::InternalError(Cat("listing ", folder, ": ", error.message()));
  return trash;
}

absl::Status Trash::Throw(const std::string& path) {
  // A random part: names that an earlier process of ours left must not be met.
  const std::string grave =
      Cat(folder_, "/", BaseName(path), ".", RandomId().substr(0, 8), next_++);
  if (rename(path.c_str(), grave.c_str()) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    // A full disk may have no room for the new name: then the caller waits.
    if (errno == ENOSPC || errno == EDQUOT) return RemoveTree(path);
    return ErrnoStatus("moving ", path, " to ", grave);
  }
  RemoveLater(grave);
  return absl::OkStatus();
}

void Trash::RemoveLater(std::string path) {
  worker_.Post([path = std::move(path)] {
    if (absl::Status status = RemoveTree(path); !status.ok()) {
      LOG_WARN("cannot remove {} yet, the next start tries again: {}", path, status.ToString());
    }
  });
}

}  // namespace crisp
