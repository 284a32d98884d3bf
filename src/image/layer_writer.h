// LayerWriter: puts the entries of one layer's tar archive into its folder, in the form overlayfs
// wants: a whiteout becomes a character device 0:0, an opaque folder an extended attribute. The
// archive is hostile: every path is resolved by the kernel below the layer's folder (openat2 with
// RESOLVE_IN_ROOT), so neither "..", links nor devices lead out. One thread; needs root.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "image/tar_reader.h"

namespace crisp {

struct LayerBounds {
  uint64_t max_bytes = uint64_t{32} << 30;  // of file data, and of the whole unpacked archive
  uint64_t max_entries = 4 << 20;
};

class LayerWriter {
 public:
  // `folder` exists and is empty.
  static absl::StatusOr<LayerWriter> Open(const std::string& folder, const LayerBounds& bounds);

  // Applies one entry; takes a file's data out of the reader.
  absl::Status Apply(const TarEntry& entry, TarReader& reader);
  // After the last entry: the folders' times.
  absl::Status Finish();

  uint64_t bytes() const { return bytes_; }
  uint64_t inodes() const { return inodes_; }
  // Folders that no entry described: their mode and owner are those of the layers below, if these
  // have them.
  const std::vector<std::string>& implied_folders() const { return implied_; }

 private:
  struct FolderTime {
    std::string path;
    timespec time;
  };

  LayerWriter(UniqueFd root, std::string name, const LayerBounds& bounds)
      : root_(std::move(root)), name_(std::move(name)), bounds_(bounds) {}

  absl::StatusOr<int> ParentOf(std::string_view path, std::string_view* leaf);
  absl::StatusOr<UniqueFd> OpenFolder(const std::string& path) const;
  absl::StatusOr<UniqueFd> MakeParents(const std::string& path);
  absl::Status ApplyWhiteout(int parent, std::string_view leaf, const std::string& path);
  absl::Status MakeFile(int parent, const std::string& leaf, const TarEntry& entry,
                        TarReader& reader);
  absl::Status WriteData(int fd, const TarEntry& entry, TarReader& reader);
  absl::Status MakeFolder(int parent, const std::string& leaf, const std::string& path,
                          const TarEntry& entry);
  absl::Status DescribeFolder(int folder, const std::string& path, const TarEntry& entry);
  absl::Status MakeHardLink(int parent, const std::string& leaf, const std::string& path,
                            const TarEntry& entry);
  absl::Status MakeSpecial(int parent, const std::string& leaf, const TarEntry& entry);
  absl::Status SetXattrs(int fd, const TarEntry& entry) const;
  // Removes what stands where an entry goes; true if it was a whiteout.
  absl::StatusOr<bool> Clear(int parent, const std::string& leaf);
  absl::Status Failure(std::string_view what, std::string_view path) const;

  UniqueFd root_;
  std::string name_;
  LayerBounds bounds_;
  uint64_t bytes_ = 0;
  uint64_t inodes_ = 0;
  uint64_t entries_ = 0;
  std::string parent_path_;  // of parent_, the folder used last
  UniqueFd parent_;
  std::vector<FolderTime> folder_times_;
  std::vector<std::string> implied_;
};

// The parts of an archive's path, joined again without "." and doubled slashes; "" is the root.
// InvalidArgument for "..", names over 255 bytes and paths over 4095.
absl::StatusOr<std::string> CleanEntryPath(std::string_view path);

}  // namespace crisp
