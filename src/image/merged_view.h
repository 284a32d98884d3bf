// MergedView: an image's layers seen as the one tree that overlayfs would show, without mounting
// it: whiteouts, opaque folders and links are resolved here, name by name, so that nothing in the
// image can lead out of it. Any thread, one at a time.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

class MergedView {
 public:
  // A folder merged of several layers', the topmost first; or another kind of file in one layer.
  struct Node {
    struct stat info {};
    std::vector<std::shared_ptr<UniqueFd>> folders;  // if it is a folder
    std::shared_ptr<UniqueFd> parent;  // otherwise: the folder that holds it, and its name there
    std::string name;
    bool is_folder() const { return !folders.empty(); }
  };

  // Layer folders, the topmost first.
  static absl::StatusOr<MergedView> Open(const std::vector<std::string>& layers);

  const Node& root() const { return root_; }
  // By path from the root; symbolic links are followed inside the view. NotFound.
  absl::StatusOr<Node> Find(std::string_view path) const;
  // One name in a folder, not followed. NotFound.
  static absl::StatusOr<Node> Child(const Node& folder, const std::string& name);
  // What a merged folder holds, sorted.
  static absl::StatusOr<std::vector<std::string>> Names(const Node& folder);
  // A regular file, open for reading.
  static absl::StatusOr<UniqueFd> OpenFileOf(const Node& node);

 private:
  Node root_;
};

// The file's content if it is a regular file of at most max_bytes; "" if there is none such.
std::string SmallFileOf(const MergedView& view, std::string_view path, size_t max_bytes);

}  // namespace crisp
