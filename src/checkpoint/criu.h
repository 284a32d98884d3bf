// Criu: the CRIU program of this node: whether it is there and works with the running kernel, and
// dumps by it. Nothing is run before it is needed; what was found to work is remembered, what was
// not is tried again. Any thread; blocks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/call.h"

namespace crisp {

// A mount of the container that is not CRIU's to keep: at `point` now, named `key` in the images.
struct ExternalMount {
  std::string point;
  std::string key;
};

struct CriuDump {
  pid_t pid = 0;        // the container's first process
  std::string images;   // existing folder
  std::string work;     // existing folder for dump.log and stats-dump
  std::string freezer;  // folder of its cgroup that freezes it; frozen before, it is afterwards
  std::vector<ExternalMount> external;
  uint64_t netns = 0;    // inode of a network namespace that is the pod's; 0: none
  uint64_t pidns = 0;    // the same of a PID namespace
  std::string terminal;  // CRIU's name of the terminal that leads outside; empty: none
  std::string uts_path;  // its UTS namespace, which is not dumped; empty: the host's
};

class Criu {
 public:
  // A path, a name to be looked up in PATH and the folders of system programs, or "" for none.
  explicit Criu(std::string program) : program_(std::move(program)) {}

  // Ok, or FailedPrecondition that says what to do about it.
  absl::Status Ready(const Call& call) ABSL_LOCKS_EXCLUDED(mutex_);
  // What Ready found out last; Unknown before the first time.
  absl::Status Known() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Once it is ready: its path and version ("4.1.1").
  std::string path() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::string version() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Writes the images; the processes go on, or stay frozen, as they were. DeadlineExceeded and
  // Cancelled as the call says: CRIU is killed, and the processes recover by themselves. Internal
  // with CRIU's own words.
  absl::Status Dump(const CriuDump& dump, const Call& call) const;

 private:
  absl::Status Probe(const Call& call, std::string* path, std::string* version) const;

  const std::string program_;
  mutable absl::Mutex mutex_;
  absl::Status known_ ABSL_GUARDED_BY(mutex_) = absl::UnknownError("CRIU was not looked at yet");
  std::string path_ ABSL_GUARDED_BY(mutex_);
  std::string version_ ABSL_GUARDED_BY(mutex_);
};

// "Version: 4.1.1\n..." -> "4.1.1"; empty if there is none.
std::string CriuVersionIn(std::string_view output);
// The number in a link such as "net:[4026531840]": 4026531840, or 0.
uint64_t NamespaceInode(std::string_view link);

}  // namespace crisp
