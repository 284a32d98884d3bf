#include "kernel/cgroup_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <memory>

#include "base/file.h"
#include "base/status.h"

namespace crisp {

absl::StatusOr<CgroupFolder> CgroupFolder::Open(std::string path) {
  UniqueFd fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus("open cgroup ", path);
  return CgroupFolder(std::move(path), std::move(fd));
}

bool CgroupFolder::Has(const std::string& file) const {
  return faccessat(fd_.get(), file.c_str(), F_OK, 0) == 0;
}

absl::StatusOr<std::string> CgroupFolder::Read(const std::string& file) const {
  const std::string name = JoinPath(path_, file);
  UniqueFd fd(openat(fd_.get(), file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus("open ", name);
  ASSIGN_OR_RETURN(const std::string text, ReadFd(fd.get(), name));
  return std::string(Trim(text));
}

int CgroupFolder::TryWrite(const std::string& file, std::string_view value) const {
  if (plan_ != nullptr) {
    if (!Has(file)) return ENOENT;
    plan_->push_back({path_, file, std::string(value)});
    return 0;
  }
  UniqueFd fd(openat(fd_.get(), file.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return errno;
  while (write(fd.get(), value.data(), value.size()) < 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

absl::Status CgroupFolder::Write(const std::string& file, std::string_view value) const {
  const int error = TryWrite(file, value);
  if (error == 0) return absl::OkStatus();
  return Errno(error, Cat("write \"", value, "\" to ", JoinPath(path_, file)));
}

uint64_t CgroupFolder::Counter(const std::string& file, std::string_view key) const {
  const absl::StatusOr<std::string> text = Read(file);
  if (!text.ok()) return 0;
  for (const std::string_view line : SplitWords(*text, '\n')) {
    if (line.size() <= key.size() || !line.starts_with(key) || line[key.size()] != ' ') continue;
    uint64_t value = 0;
    std::from_chars(line.data() + key.size() + 1, line.data() + line.size(), value);
    return value;
  }
  return 0;
}

absl::StatusOr<CgroupFolder> CgroupFolder::Child(const std::string& name) const {
  UniqueFd fd(openat(fd_.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus("open cgroup ", JoinPath(path_, name));
  return CgroupFolder(JoinPath(path_, name), std::move(fd));
}

std::vector<std::string> CgroupFolder::Children() const {
  std::vector<std::string> names;
  UniqueFd fd(openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::unique_ptr<DIR, int (*)(DIR*)> folder(fdopendir(fd.get()), closedir);
  if (folder == nullptr) return names;
  fd.release();
  while (const dirent* entry = readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

}  // namespace crisp
