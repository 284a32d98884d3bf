// User namespaces: made by a short-lived child of the caller, whose id maps the caller writes. A
// threaded process may call: the child makes system calls alone. Any thread; a call blocks for
// about a millisecond. The caller needs CAP_SETUID and CAP_SETGID. Linked into the static monitor.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "kernel/mount.h"

namespace crisp {

// One line of /proc/PID/uid_map: `length` ids from `inside` are those from `outside` of the
// namespace above.
struct IdRange {
  uint32_t inside = 0, outside = 0, length = 0;
  friend bool operator==(const IdRange&, const IdRange&) = default;
};

struct IdMaps {
  std::vector<IdRange> uids, gids;
  bool empty() const { return uids.empty() && gids.empty(); }
  // The host's ids of the namespace's root; 0 if it has none.
  uid_t RootUid() const;
  gid_t RootGid() const;
  friend bool operator==(const IdMaps&, const IdMaps&) = default;
};

// A child that sits in a new user namespace, as its root, until this object is destroyed. Its
// namespaces live on in whoever pins or joins them.
class NamespaceHolder {
 public:
  // `owned` (CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS) are made inside: they belong to the user
  // namespace. ResourceExhausted where the kernel's user.max_user_namespaces forbids it.
  static absl::StatusOr<NamespaceHolder> Start(const IdMaps& maps, int owned);
  NamespaceHolder(NamespaceHolder&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)),
        socket_(std::move(other.socket_)),
        proc_folder_(std::move(other.proc_folder_)) {}
  NamespaceHolder& operator=(NamespaceHolder&&) = delete;
  ~NamespaceHolder();

  // "/proc/PID/ns/user" for "user".
  std::string Path(std::string_view name) const;

 private:
  NamespaceHolder(pid_t pid, UniqueFd socket) : pid_(pid), socket_(std::move(socket)) {}
  pid_t pid_;                // in the caller's PID namespace
  UniqueFd socket_;          // whose end is the child's end
  std::string proc_folder_;  // its number in /proc may be another
};

// A user namespace, held by its descriptor.
absl::StatusOr<UniqueFd> MakeUserNamespace(const IdMaps& maps);

// Shows the files of a detached mount with their ids mapped by the namespace: an id on disk is
// taken for one inside. FailedPrecondition if the file system cannot.
absl::Status MapMount(int mount_fd, int user_namespace_fd, TreeDepth depth, std::string_view name);

// Covers each folder, in this process's (or thread's) mount namespace, with itself, its ids mapped:
// what layers of an overlay are to be then.
absl::Status CoverWithMapped(const std::vector<std::string>& folders, int user_namespace_fd);

// Whether containers in user namespaces can have their root in this folder: tries it, with an
// overlay of an id-mapped layer, on a thread and in a mount namespace of its own.
// FailedPrecondition says why not. Makes the folder and leaves it empty.
absl::Status ProbeUserNamespaces(const std::string& folder);

}  // namespace crisp
