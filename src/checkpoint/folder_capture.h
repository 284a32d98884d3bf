// FolderCapture: what a folder holds, as entries of a tar archive. Of the upper folder of an
// overlay the whiteouts are no entries but names of deleted files, and so is what an opaque folder
// hides in the layers below: the archive is the difference to the image, as other tools expect it.
// One thread; blocks.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "image/tar_writer.h"

namespace crisp {

class FolderCapture {
 public:
  // overlay: the folder is an overlay's upper one; lower: the layers below it.
  FolderCapture(TarWriter& tar, bool overlay, std::vector<std::string> lower)
      : tar_(tar), overlay_(overlay), lower_(std::move(lower)) {}

  // Adds all of it, the folder itself as "./". Nothing may change in it meanwhile. Sockets are left
  // out. FailedPrecondition if the overlay keeps things that no archive can say (renamed folders).
  absl::Status Run(const std::string& folder);

  // Absolute in the container, of what Run went through; sorted.
  const std::vector<std::string>& deleted() const { return deleted_; }

 private:
  absl::Status AddFolder(int folder, const std::string& path, int depth);
  absl::Status AddChild(int folder, const std::string& name, const std::string& path, int depth);
  absl::Status CheckOverlay(int folder, const std::string& path, bool* opaque) const;
  absl::Status NoteHidden(const std::string& path, const std::vector<std::string>& own);

  TarWriter& tar_;
  const bool overlay_;
  const std::vector<std::string> lower_;
  std::vector<std::string> deleted_;
  std::map<std::pair<uint64_t, uint64_t>, std::string> linked_;  // by device and inode
};

// The folder as a new archive, mode 0600. The deleted names, if it is an upper folder.
struct FolderArchive {
  std::string folder;
  bool overlay = false;
  std::vector<std::string> lower;
};
absl::StatusOr<std::vector<std::string>> ArchiveFolder(const FolderArchive& what,
                                                       const std::string& file, const Call& call);

}  // namespace crisp
