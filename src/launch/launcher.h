// Launcher: starts a container's first process from an OCI bundle, and further processes in it.
// Used inside crisp-monitor: one thread, nothing blocks for long, and the process that comes of it
// is a child of the caller, who reaps it. Descriptors in requests are borrowed. Linked statically:
// needs base and kernel alone.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

// An overlay to be the root. It is mounted inside the container's own mount namespace, so nothing
// of it is ever to be unmounted on the host. Not present: config.json's root.path is a ready
// folder.
struct RootfsPlan {
  std::vector<std::string> lower;    // absolute, topmost first
  std::string upper, work;           // absolute; both empty: a read-only root
  std::vector<std::string> options;  // "volatile", "metacopy=off"
  bool present = false;
};

// -1 is the container's /dev/null. With terminal the three are not used: the launcher makes a
// pseudo terminal in the container's own devpts and hands its controlling end back.
struct ProcessIo {
  int in = -1, out = -1, err = -1;
  bool terminal = false;
};

// The program that an OCI CLI launcher runs. An empty path: the native launcher.
struct RuntimeProgram {
  std::string path;               // absolute
  std::vector<std::string> args;  // before the verb: "--debug" and the like
  // Its containers have a kernel of their own (runsc): what runs in one is no process of the host,
  // and an exec's process here only waits for the one in there.
  bool sandboxed = false;
};

struct StartRequest {
  std::string container_id;
  std::string bundle;       // absolute folder with config.json
  std::string cgroup_path;  // linux.cgroupsPath, which an empty one is read from
  RootfsPlan rootfs;
  ProcessIo io;
  std::string seccomp_bpf;  // file of struct sock_filter; empty: unconfined
  RuntimeProgram runtime;
};

struct ExecRequest {
  std::string container_id;
  std::string bundle;   // the container's
  std::string exec_id;  // names the exec's own sub-cgroup; empty: it shares the container's
  int container_pidfd = -1;
  std::string cgroup_path;   // the container's
  std::string process_json;  // OCI "process" object; parsed in the child
  ProcessIo io;
  std::string seccomp_bpf;
  RuntimeProgram runtime;
};

// An exec of a sandboxed runtime that is to end.
struct KillRequest {
  std::string container_id;
  std::string bundle;  // the container's
  std::string exec_id;
  RuntimeProgram runtime;
  pid_t inner = 0;  // from its Outcome
  int pidfd = -1;   // its process on the host: once that has ended, nothing is killed any more
};

// A container out of a checkpoint: CRIU makes its processes, but not the terminal of io.terminal,
// which is the launcher's and handed back as ever.
struct RestoreRequest {
  StartRequest start;
  std::string criu;    // the program
  std::string images;  // absolute folder of CRIU's images, descriptors.json and terminal.json
  std::string work;    // absolute folder that CRIU's log and pid file go into
  struct External {
    std::string key;     // what the images call the mount
    std::string source;  // absolute, on the host
  };
  std::vector<External> external;
};

// In RestoreRequest::work.
inline constexpr char kRestoreLog[] = "restore.log";
inline constexpr char kRestoredPid[] = "restored.pid";

// A process on its way. `outcome` becomes readable when it was executed or could not be: then call
// ReadOutcome until it gives one. The process may already be gone by then; reaping pid stays with
// the caller.
struct Launch {
  pid_t pid = -1;
  UniqueFd pidfd;
  UniqueFd outcome;
  // State between two calls of ReadOutcome, and what it calls if the launch failed.
  bool ready = false;
  UniqueFd terminal;
  std::function<void()> undo;
};

struct Outcome {
  absl::Status status;  // ok: the program was executed
  UniqueFd terminal;    // controlling end, when asked for
  // If not 0: the process that came of it, in place of Launch.pid, which was a helper and will end.
  // It becomes the caller's child (a subreaper) when `hold` is closed: watch it first, and its end
  // cannot be missed.
  pid_t pid = 0;
  UniqueFd pidfd;
  UniqueFd hold;
  // Of a sandboxed runtime's exec: the number, in the container, of the process and its group.
  pid_t inner = 0;
};

class Launcher {
 public:
  virtual ~Launcher() = default;
  // Both leave nothing behind if they or the Outcome fail: no process, no cgroup.
  virtual absl::StatusOr<Launch> Start(const StartRequest& request) = 0;
  virtual absl::StatusOr<Launch> Exec(const ExecRequest& request) = 0;
  // Of a sandboxed runtime alone. The launch is a helper that ends with 0 once the exec's process
  // group was killed or the exec has ended; after anything else its outcome tells why not.
  virtual absl::StatusOr<Launch> Kill(const KillRequest& request);
  // The launch is CRIU's, and its success that CRIU was executed. What becomes of that, CRIU's exit
  // tells: after 0, the file kRestoredPid names the container's first process, the caller's child
  // too; after anything else no process is left, but the cgroup is.
  virtual absl::StatusOr<Launch> Restore(const RestoreRequest& request);
};

// Never blocks; nullopt: not yet. On failure the process has been killed and its cgroup removed.
std::optional<Outcome> ReadOutcome(Launch& launch);

}  // namespace crisp
