// Files and folders: whole-file reads with a bound, atomic replacement, folder trees. Paths are
// trusted (crisp's own); for paths inside a container's root use kernel/rooted_path.h. Any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

// open(2) with O_CLOEXEC added; the error names the path.
absl::StatusOr<UniqueFd> OpenFile(const std::string& path, int flags, mode_t mode = 0);

// The whole file, or ResourceExhausted if it holds more than max_bytes.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes = 16 << 20);
absl::StatusOr<std::string> ReadFd(int fd, std::string_view name, size_t max_bytes = 16 << 20);

// Writes all of data, resuming after short writes and EINTR.
absl::Status WriteAll(int fd, std::string_view data, std::string_view name);

// One write to an existing file, such as a cgroup's or a sysctl's.
absl::Status WriteExisting(const std::string& path, std::string_view data);

enum class Durability {
  kSurvivesProcess,  // in the page cache: outlives a killed process
  kSurvivesPower,    // fsync of the file and its folder
};

// Replaces path by a file with this content; a reader sees the old or the new one, whole.
absl::Status ReplaceFile(const std::string& path, std::string_view data, mode_t mode = 0644,
                         Durability durability = Durability::kSurvivesProcess);

// mkdir -p; mode for every folder that is made.
absl::Status MakeFolders(const std::string& path, mode_t mode = 0755);

// rm -rf without following links or crossing into another mount; ok if path is absent.
absl::Status RemoveTree(const std::string& path);
// The same below a folder that is held open: removes entry name of it.
absl::Status RemoveTreeAt(int folder_fd, const std::string& name);

// unlink(2), ok if absent.
absl::Status RemoveFile(const std::string& path);

bool PathExists(const std::string& path);

// The last component, the part before it ("." if none), and both joined with exactly one slash.
std::string BaseName(std::string_view path);
std::string FolderOf(std::string_view path);
std::string JoinPath(std::string_view folder, std::string_view name);
// Lexically: no ".", "..", or doubled slash; an absolute path stays absolute and never climbs above
// "/".
std::string CleanPath(std::string_view path);

}  // namespace crisp
