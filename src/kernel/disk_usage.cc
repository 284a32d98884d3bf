#include "kernel/disk_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace crisp {
namespace {

constexpr size_t kMostOpenFolders = 64;      // of a walk; deeper trees are left out
constexpr size_t kMostHardLinks = 64 << 10;  // remembered; further ones count each time

using Folder = std::unique_ptr<DIR, int (*)(DIR*)>;

Folder OpenAt(int parent, const char* name) {
  UniqueFd fd(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  Folder folder(fd.valid() ? fdopendir(fd.get()) : nullptr, closedir);
  if (folder != nullptr) fd.release();
  return folder;
}

class Walk {
 public:
  Walk(size_t pace, const std::function<bool()>& pause) : pace_(pace), pause_(pause) {}

  absl::StatusOr<DiskUsage> Run(const std::string& path) {
    Folder top = OpenAt(AT_FDCWD, path.c_str());
    if (top == nullptr) return ErrnoStatus("open folder ", path);
    struct stat info;
    if (fstat(dirfd(top.get()), &info) != 0) return ErrnoStatus("look at folder ", path);
    device_ = info.st_dev;
    Count(info);
    open_.push_back(std::move(top));
    while (!open_.empty()) {
      const dirent* entry = readdir(open_.back().get());
      if (entry == nullptr) {
        open_.pop_back();
      } else if (!Take(entry->d_name)) {
        return absl::CancelledError(Cat("the walk through ", path, " was ended"));
      }
    }
    return usage_;
  }

 private:
  void Count(const struct stat& info) {
    const bool linked = !S_ISDIR(info.st_mode) && info.st_nlink > 1;
    if (linked && !seen_.insert(info.st_ino).second) return;
    if (seen_.size() > kMostHardLinks) seen_.clear();
    usage_.bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    ++usage_.inodes;
  }

  bool Take(std::string_view name) {
    if (name == "." || name == "..") return true;
    const int parent = dirfd(open_.back().get());
    struct stat info;
    if (fstatat(parent, name.data(), &info, AT_SYMLINK_NOFOLLOW) != 0) return true;
    if (info.st_dev != device_) return true;
    Count(info);
    if (S_ISDIR(info.st_mode) && open_.size() < kMostOpenFolders) {
      if (Folder child = OpenAt(parent, name.data()); child != nullptr) {
        open_.push_back(std::move(child));
      }
    }
    return ++taken_ % pace_ != 0 || pause_();
  }

  const size_t pace_;
  const std::function<bool()>& pause_;
  dev_t device_ = 0;
  size_t taken_ = 0;
  std::vector<Folder> open_;
  std::set<ino_t> seen_;
  DiskUsage usage_;
};

}  // namespace

absl::StatusOr<DiskUsage> MeasureFolder(const std::string& folder, size_t pace,
                                        const std::function<bool()>& pause) {
  return Walk(pace, pause).Run(folder);
}

}  // namespace crisp
