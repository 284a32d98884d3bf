// ProbeUserNamespaces: a try of all that a container in a user namespace needs of this kernel and
// of the file system of its layers.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <system_error>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/status.h"
#include "kernel/user_namespace.h"

namespace crisp {
namespace {

constexpr uint32_t kHostId = 4242;

// On a thread that ends here, in a mount namespace of its own, which takes all mounts along.
absl::Status TryOverlay(const std::string& folder, int user_namespace_fd) {
  if (::unshare(CLONE_NEWNS) != 0) return ErrnoStatus("making a mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return ErrnoStatus("making mounts private");
  }
  const std::string lower = JoinPath(folder, "lower");
  RETURN_IF_ERROR(CoverWithMapped({lower}, user_namespace_fd));
  const std::string data = Cat("lowerdir=", lower, ",upperdir=", JoinPath(folder, "upper"),
                               ",workdir=", JoinPath(folder, "work"));
  const std::string root = JoinPath(folder, "root");
  if (::mount("overlay", root.c_str(), "overlay", 0, data.c_str()) != 0) {
    return ErrnoStatus("mounting an overlay of an id-mapped layer");
  }
  struct stat about = {};
  if (::stat(JoinPath(root, "file").c_str(), &about) != 0) return ErrnoStatus("stat");
  if (about.st_uid == kHostId && about.st_gid == kHostId) return absl::OkStatus();
  return absl::FailedPreconditionError("an overlay does not show the mapped ids of its layers");
}

}  // namespace

absl::Status ProbeUserNamespaces(const std::string& folder) {
  const absl::Cleanup clear = [&] {
    for (const char* name : {"lower", "upper", "work", "root"}) {
      RemoveTree(JoinPath(folder, name)).IgnoreError();
    }
  };
  for (const char* name : {"lower", "upper", "work", "root"}) {
    RETURN_IF_ERROR(MakeFolders(JoinPath(folder, name), 0711));
  }
  RETURN_IF_ERROR(ReplaceFile(JoinPath(folder, "lower/file"), ""));
  absl::Status result;
  const IdMaps maps{{{0, kHostId, 1}}, {{0, kHostId, 1}}};
  absl::StatusOr<UniqueFd> user_namespace = MakeUserNamespace(maps);
  if (!user_namespace.ok()) {
    result = user_namespace.status();
  } else {
    try {
      std::thread([&] { result = TryOverlay(folder, user_namespace->get()); }).join();
    } catch (const std::system_error& error) {
      result = absl::ResourceExhaustedError(Cat("starting a thread: ", error.what()));
    }
  }
  if (result.ok()) return result;
  return absl::FailedPreconditionError(
      Cat("this host cannot run pods in user namespaces: ", FromAbsl(result.message())));
}

}  // namespace crisp
