// SeccompCache: compiled seccomp filters on disk (<root>/seccomp/<sha256>.bpf), keyed by what they
// were compiled from, so that a container start reads a ready BPF program. Any thread; one object a
// daemon. Files are never changed and stay, because running containers' execs load them again.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/json.h"

namespace crisp {

class SeccompCache {
 public:
  // `folder` is made if it is absent.
  static absl::StatusOr<std::unique_ptr<SeccompCache>> Open(const std::string& folder);

  struct Filter {
    std::string bpf_path;  // for crisp-monitor
    Json oci;              // linux.seccomp, for runtimes that compile it themselves
  };
  // The filter of a profile text (OCI or Docker form, see oci/seccomp_profile.h) for a container
  // with these capabilities ("CAP_CHOWN", ...). Well below 0.1 ms when it is in the cache.
  // Compiling takes 40 to 70 ms; callers that ask for the same meanwhile wait for it instead of
  // doing it again.
  absl::StatusOr<std::shared_ptr<const Filter>> Get(std::string_view profile_text,
                                                    std::string_view name,
                                                    const std::set<std::string>& capabilities);

 private:
  explicit SeccompCache(std::string folder) : folder_(std::move(folder)) {}
  std::shared_ptr<const Filter> Remembered(const std::string& key) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::shared_ptr<const Filter>> Make(
      std::string_view profile_text, std::string_view name,
      const std::set<std::string>& capabilities) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(making_);

  const std::string folder_;
  mutable absl::Mutex making_ ABSL_ACQUIRED_BEFORE(mutex_);
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<const Filter>> filters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp
