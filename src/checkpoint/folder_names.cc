#include "checkpoint/folder_names.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <memory>

#include "base/file.h"
#include "base/status.h"

namespace crisp {

absl::StatusOr<std::vector<std::string>> SortedNames(int folder) {
  UniqueFd again(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!again.valid()) return ErrnoStatus("open a folder");
  std::unique_ptr<DIR, int (*)(DIR*)> list(fdopendir(again.get()), closedir);
  if (list == nullptr) return ErrnoStatus("list a folder");
  again.release();
  std::vector<std::string> names;
  while (const dirent* entry = readdir(list.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace crisp
