#include "image/merged_view.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include <deque>
#include <set>

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr int kMaxLinks = 40;
constexpr size_t kMaxSteps = 4096;
constexpr size_t kMaxNames = 1'000'000;

bool IsWhiteout(const struct stat& info) { return S_ISCHR(info.st_mode) && info.st_rdev == 0; }

bool IsOpaque(int folder) {
  char value = 0;
  return fgetxattr(folder, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

absl::Status Absent(std::string_view name) {
  return absl::NotFoundError(Cat("the image has no ", name.substr(0, 200)));
}

absl::StatusOr<std::string> LinkTarget(const MergedView::Node& node) {
  std::string target(4096, 0);
  const ssize_t size =
      readlinkat(node.parent->get(), node.name.c_str(), target.data(), target.size());
  if (size < 0) return ErrnoStatus("read link ", node.name);
  target.resize(size);
  return target;
}

}  // namespace

absl::StatusOr<MergedView> MergedView::Open(const std::vector<std::string>& layers) {
  MergedView view;
  for (const std::string& layer : layers) {
    ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(layer, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    if (view.root_.folders.empty() && fstat(fd.get(), &view.root_.info) != 0)
      return ErrnoStatus("stat ", layer);
    view.root_.folders.push_back(std::make_shared<UniqueFd>(std::move(fd)));
  }
  return view;
}

absl::StatusOr<MergedView::Node> MergedView::Child(const Node& folder, const std::string& name) {
  Node node;
  for (const auto& layer : folder.folders) {
    struct stat info;
    if (fstatat(layer->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return ErrnoStatus("stat ", name);
    }
    if (IsWhiteout(info)) break;
    if (!S_ISDIR(info.st_mode)) {
      if (node.is_folder()) break;  // hidden by the folder above it
      node.info = info;
      node.parent = layer;
      node.name = name;
      return node;
    }
    UniqueFd fd(
        openat(layer->get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) return ErrnoStatus("open folder ", name);
    const bool opaque = IsOpaque(fd.get());
    if (!node.is_folder()) node.info = info;
    node.folders.push_back(std::make_shared<UniqueFd>(std::move(fd)));
    if (opaque) break;
  }
  if (!node.is_folder()) return Absent(name);
  return node;
}

absl::StatusOr<MergedView::Node> MergedView::Find(std::string_view path) const {
  std::deque<std::string> parts;
  for (const std::string_view part : SplitWords(path, '/')) parts.emplace_back(part);
  std::vector<Node> trail = {root_};  // from the root down to where we are
  int links = 0;
  for (size_t steps = 0; !parts.empty(); ++steps) {
    if (steps > kMaxSteps) return Absent(path);
    const std::string part = std::move(parts.front());
    parts.pop_front();
    if (part == ".") continue;
    if (part == "..") {
      if (trail.size() > 1) trail.pop_back();
      continue;
    }
    if (!trail.back().is_folder()) return Absent(path);
    ASSIGN_OR_RETURN(Node node, Child(trail.back(), part));
    if (!node.is_folder() && S_ISLNK(node.info.st_mode)) {
      if (++links > kMaxLinks)
        return absl::InvalidArgumentError(
            Cat("too many links on the way to ", path, " in the image"));
      ASSIGN_OR_RETURN(const std::string target, LinkTarget(node));
      if (target.starts_with('/')) trail.resize(1);
      const std::vector<std::string_view> more = SplitWords(target, '/');
      for (auto word = more.rbegin(); word != more.rend(); ++word) parts.emplace_front(*word);
      continue;
    }
    trail.push_back(std::move(node));
  }
  return std::move(trail.back());
}

absl::StatusOr<std::vector<std::string>> MergedView::Names(const Node& folder) {
  std::set<std::string> names, hidden;
  for (const auto& layer : folder.folders) {
    UniqueFd copy(openat(layer->get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::unique_ptr<DIR, int (*)(DIR*)> open(fdopendir(copy.get()), closedir);
    if (open == nullptr) return ErrnoStatus("list a folder of the image");
    copy.release();
    while (const dirent* entry = readdir(open.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == ".." || hidden.contains(name)) continue;
      if (entry->d_type == DT_CHR || entry->d_type == DT_UNKNOWN) {
        struct stat info;
        if (fstatat(layer->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (IsWhiteout(info)) {
          if (!names.contains(name)) hidden.insert(name);
          continue;
        }
      }
      if (names.size() >= kMaxNames)
        return absl::ResourceExhaustedError("a folder of the image has too many entries");
      names.insert(name);
    }
  }
  return std::vector<std::string>(names.begin(), names.end());
}

absl::StatusOr<UniqueFd> MergedView::OpenFileOf(const Node& node) {
  if (node.is_folder() || !S_ISREG(node.info.st_mode))
    return absl::InvalidArgumentError(Cat(node.name, " in the image is no regular file"));
  UniqueFd fd(openat(node.parent->get(), node.name.c_str(),
                     O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus("open ", node.name);
  return fd;
}

std::string SmallFileOf(const MergedView& view, std::string_view path, size_t max_bytes) {
  const auto node = view.Find(path);
  if (!node.ok()) return "";
  const auto fd = MergedView::OpenFileOf(*node);
  if (!fd.ok()) return "";
  auto content = ReadFd(fd->get(), path, max_bytes);
  return content.ok() ? *std::move(content) : std::string();
}

}  // namespace crisp
