// Paths inside a container's root: every component is resolved by the kernel below an open root
// folder (openat2 with RESOLVE_IN_ROOT), so that no symbolic link, "..", or magic link of a hostile
// image leads out of it, whatever changes meanwhile. Any thread. The descriptors are O_PATH unless
// flags say otherwise.
#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

// Opens path, whose "/" is root_fd. Links inside the root are followed unless flags has O_NOFOLLOW;
// magic links (/proc/PID/fd/N, /proc/PID/root) never are. The error names the path.
absl::StatusOr<UniqueFd> OpenInRoot(int root_fd, std::string_view path, int flags = O_PATH,
                                    mode_t mode = 0);
// The same without following any link, for places where one must not be (such as /proc).
absl::StatusOr<UniqueFd> OpenInRootNoLinks(int root_fd, std::string_view path, int flags = O_PATH);
// Below folder_fd, on its own mount, without any link: for procfs, where something mounted over a
// file would redirect a write.
absl::StatusOr<UniqueFd> OpenBeneathSameMount(int folder_fd, std::string_view path, int flags);

// mkdir -p inside the root, through links too, also through those whose target is still missing;
// returns the folder.
absl::StatusOr<UniqueFd> MakeFoldersInRoot(int root_fd, std::string_view path, mode_t mode = 0755);

enum class MountpointKind { kFolder, kFile };
// What something can be mounted on: what is there, or else an empty folder or file.
absl::StatusOr<UniqueFd> MakeMountpoint(int root_fd, std::string_view path, MountpointKind kind);

}  // namespace crisp
