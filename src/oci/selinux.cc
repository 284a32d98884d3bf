#include "oci/selinux.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <charconv>
#include <memory>
#include <random>

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

namespace v1 = ::runtime::v1;

constexpr int kCategories = 1024;
constexpr int kSensitivities = 16;
constexpr int kMaxLabelDepth = 512;

// "c12" or "s0".
bool IsNumbered(std::string_view word, char letter, int limit) {
  if (word.size() < 2 || word.size() > 5 || word[0] != letter) return false;
  int number = -1;
  const char* end = word.data() + word.size();
  return std::from_chars(word.data() + 1, end, number).ptr == end && number >= 0 && number < limit;
}

bool AreCategories(std::string_view list) {
  for (const std::string_view part : Split(list, ',')) {
    const size_t dot = part.find('.');
    if (!IsNumbered(part.substr(0, dot), 'c', kCategories)) return false;
    if (dot != std::string_view::npos && !IsNumbered(part.substr(dot + 1), 'c', kCategories)) {
      return false;
    }
  }
  return true;
}

bool IsLevel(std::string_view level) {
  const size_t colon = level.find(':');
  if (!IsNumbered(level.substr(0, colon), 's', kSensitivities)) return false;
  return colon == std::string_view::npos || AreCategories(level.substr(colon + 1));
}

bool IsRange(std::string_view range) {
  const size_t dash = range.find('-');
  if (!IsLevel(range.substr(0, dash))) return false;
  return dash == std::string_view::npos || IsLevel(range.substr(dash + 1));
}

bool IsWord(std::string_view word) {
  for (const char letter : word) {
    if (!isalnum(static_cast<unsigned char>(letter)) && letter != '_' && letter != '-' &&
        letter != '.') {
      return false;
    }
  }
  return word.size() <= 128;
}

std::string Level(int low, int high) { return Cat("s0:c", low, ",c", high); }

// A tree of files, by descriptors, so that a link put there meanwhile leads nowhere.
class Labeller {
 public:
  Labeller(const std::string& label, const char* attribute)
      : label_(label), attribute_(attribute) {}

  absl::Status LabelTree(int folder_fd, const std::string& path, int depth) {
    if (depth > kMaxLabelDepth) {
      return absl::ResourceExhaustedError(Cat("labelling ", path, ": folders nest too deep"));
    }
    std::unique_ptr<DIR, int (*)(DIR*)> open(
        ::fdopendir(::openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), ::closedir);
    if (open == nullptr) return ErrnoStatus("labelling ", path);
    while (const dirent* entry = ::readdir(open.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      RETURN_IF_ERROR(Set(folder_fd, name, JoinPath(path, name)));
      const UniqueFd child(
          ::openat(folder_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (child.valid()) RETURN_IF_ERROR(LabelTree(child.get(), JoinPath(path, name), depth + 1));
    }
    return absl::OkStatus();
  }

  absl::Status Set(int folder_fd, const std::string& name, const std::string& path) {
    const std::string by_fd = Cat("/proc/self/fd/", folder_fd, "/", name);
    if (::lsetxattr(by_fd.c_str(), attribute_, label_.data(), label_.size() + 1, 0) == 0) {
      return absl::OkStatus();
    }
    // Gone meanwhile; no labels here; a read-only file system has those that it has.
    if (errno == ENOENT || errno == ENOTSUP || errno == EROFS) return absl::OkStatus();
    return ErrnoStatus("labelling ", path, " as ", label_);
  }

 private:
  const std::string& label_;
  const char* attribute_;
};

bool IsHosts(const std::string& path) {
  for (const std::string_view one :
       {"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/proc", "/root", "/run",
        "/sbin", "/sys", "/tmp", "/usr", "/var", "/var/lib", "/var/log", "/var/run"}) {
    if (path == one) return true;
  }
  return false;
}

}  // namespace

absl::Status CheckSelinuxOptions(const v1::SELinuxOption& options, std::string_view field) {
  for (const auto& [name, word] :
       {std::pair{"user", &options.user()}, {"role", &options.role()}, {"type", &options.type()}}) {
    if (!IsWord(*word)) {
      return absl::InvalidArgumentError(
          Cat(field, ".", name, ": \"", word->substr(0, 128), "\" is no word of a SELinux label"));
    }
  }
  if (options.level().empty() || IsRange(options.level())) return absl::OkStatus();
  return absl::InvalidArgumentError(Cat(field, ".level: \"", options.level().substr(0, 128),
                                        "\" is no SELinux level, such as s0:c1,c2"));
}

SelinuxLabels BuildSelinuxLabels(const v1::SELinuxOption& options, const std::string& pod_level) {
  const auto or_else = [](const std::string& word, std::string_view otherwise) {
    return word.empty() ? std::string(otherwise) : word;
  };
  const std::string user = or_else(options.user(), "system_u");
  const std::string level = or_else(options.level(), or_else(pod_level, "s0"));
  return {.process = Cat(user, ":", or_else(options.role(), "system_r"), ":",
                         or_else(options.type(), "container_t"), ":", level),
          .mount = Cat(user, ":object_r:container_file_t:", level)};
}

absl::Status Relabel(const std::string& path, const std::string& label, const char* attribute) {
  const std::string clean = CleanPath(path);
  if (IsHosts(clean)) {
    return absl::InvalidArgumentError(
        Cat("selinux_relabel: ", path, " is the host's own and cannot be given to a container"));
  }
  ASSIGN_OR_RETURN(const UniqueFd parent, OpenFile(FolderOf(clean), O_PATH | O_DIRECTORY));
  const std::string name = BaseName(clean);
  Labeller labeller(label, attribute);
  RETURN_IF_ERROR(labeller.Set(parent.get(), name, path));
  const UniqueFd folder(
      ::openat(parent.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return folder.valid() ? labeller.LabelTree(folder.get(), path, 0) : absl::OkStatus();
}

absl::StatusOr<std::string> SelinuxLevels::Take() {
  thread_local std::mt19937 random{std::random_device{}()};
  absl::MutexLock lock(&mutex_);
  constexpr size_t kPairs = size_t{kCategories} * (kCategories - 1) / 2;
  if (taken_.size() >= kPairs) {
    return absl::ResourceExhaustedError("all SELinux levels are in use by pods");
  }
  std::uniform_int_distribution<int> any(0, kCategories - 1);
  while (true) {
    const int one = any(random), other = any(random);
    if (one == other) continue;
    std::string level = Level(std::min(one, other), std::max(one, other));
    if (taken_.contains(level)) continue;
    taken_.insert(level);
    return level;
  }
}

void SelinuxLevels::Keep(const std::string& level) {
  absl::MutexLock lock(&mutex_);
  taken_.insert(level);
}

void SelinuxLevels::Drop(const std::string& level) {
  absl::MutexLock lock(&mutex_);
  if (const auto found = taken_.find(level); found != taken_.end()) taken_.erase(found);
}

}  // namespace crisp
