// SELinux labels: contexts for containers from CRI's options, the categories that keep pods apart,
// and labels of volumes. All of it is text and extended attributes; whether the host has SELinux is
// the caller's question. Any thread.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "api/cri.pb.h"

namespace crisp {

struct SelinuxLabels {
  std::string process;
  std::string mount;  // of the root, of /dev and of volumes that shall be relabelled
};

// InvalidArgument: a level that is none ("s0", "s0:c1,c2", "s0-s0:c0.c1023" are some), or a user,
// role or type with a colon, white space or control characters. Held whether or not the host has
// SELinux, so that a bad configuration is found everywhere.
absl::Status CheckSelinuxOptions(const runtime::v1::SELinuxOption& options, std::string_view field);

// system_u:system_r:container_t and system_u:object_r:container_file_t with the pod's level; the
// options replace what they name (role and type in the process's label alone).
SelinuxLabels BuildSelinuxLabels(const runtime::v1::SELinuxOption& options,
                                 const std::string& pod_level);

// Labels a file or a folder with all that is in it; links are labelled, not followed. Ok where the
// file system has no labels (ENOTSUP). Refuses folders that are the host's own ("/", "/etc",
// "/usr", ...), which would be unusable afterwards.
absl::Status Relabel(const std::string& path, const std::string& label,
                     const char* attribute = "security.selinux");

// Levels "s0:cN,cM" in use, no two alike.
class SelinuxLevels {
 public:
  // ResourceExhausted if all 523776 are taken.
  absl::StatusOr<std::string> Take() ABSL_LOCKS_EXCLUDED(mutex_);
  // One that a pod has already.
  void Keep(const std::string& level) ABSL_LOCKS_EXCLUDED(mutex_);
  void Drop(const std::string& level) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Mutex mutex_;
  std::multiset<std::string> taken_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp
