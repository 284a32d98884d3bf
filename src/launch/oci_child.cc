#include "launch/oci_child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <optional>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "base/text.h"
#include "launch/child_process.h"
#include "launch/json_list.h"
#include "launch/kernel_settings.h"
#include "launch/namespace_plan.h"
#include "launch/oci_command.h"
#include "launch/oci_mount_space.h"
#include "launch/user_mapping.h"

namespace crisp {
namespace {

constexpr int kFirstFree = 3;
constexpr absl::Duration kStartPatience = absl::Seconds(60);
constexpr absl::Duration kExecPatience = absl::Seconds(60);
constexpr absl::Duration kDeletePatience = absl::Seconds(10);
constexpr absl::Duration kKillPatience = absl::Seconds(10);
constexpr int kEndPatienceMs = 1000;

// 0 to 2 become the process's, `kept` goes to 3 and 4; everything else that the monitor has open is
// closed: a pipe of another container must not live on here.
absl::Status TakeDescriptors(const ProcessIo& io, std::initializer_list<int*> kept) {
  // Out of the way first, so that nothing is overwritten before it is moved.
  int streams[3] = {-1, -1, -1};
  const int given[3] = {io.in, io.out, io.err};
  for (int i = 0; i < 3; ++i) {
    if (io.terminal || given[i] < 0) continue;
    streams[i] = ::fcntl(given[i], F_DUPFD_CLOEXEC, kFirstFree + 8);
    if (streams[i] < 0) return ErrnoStatus("keeping the container's streams");
  }
  for (int* fd : kept) {
    if (*fd < 0) continue;
    *fd = ::fcntl(*fd, F_DUPFD_CLOEXEC, kFirstFree + 8);
    if (*fd < 0) return ErrnoStatus("keeping a descriptor");
  }
  // Closed below, or overwritten.
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int i = 0; i < 3; ++i) {
    if (::dup2(streams[i] < 0 ? null : streams[i], i) < 0) return ErrnoStatus("dup2");
  }
  int next = kFirstFree;
  for (int* fd : kept) {
    if (*fd < 0) continue;
    if (::dup3(*fd, next, O_CLOEXEC) < 0) return ErrnoStatus("dup3");
    *fd = next++;
  }
  ::syscall(SYS_close_range, next, ~0u, 0);
  return absl::OkStatus();
}

// Where TakeDescriptors has put them.
ProcessIo Taken(const ProcessIo& io) {
  ProcessIo taken = io;
  taken.in = io.in < 0 ? -1 : 0;
  taken.out = io.out < 0 ? -1 : 1;
  taken.err = io.err < 0 ? -1 : 2;
  return taken;
}

absl::Status EnterBundle(const std::string& bundle) {
  ::prctl(PR_SET_NAME, "crisp-launch");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  if (::chdir(bundle.c_str()) != 0) return ErrnoStatus("entering the bundle ", bundle);
  return absl::OkStatus();
}

struct RunningProcess {
  pid_t pid = 0;
  UniqueFd pidfd;
};

absl::StatusOr<pid_t> NumberIn(const std::string& pid_file) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(pid_file, 64));
  pid_t pid = 0;
  const std::string_view digits = Trim(text);
  std::from_chars(digits.data(), digits.data() + digits.size(), pid);
  if (pid <= 0) return absl::InternalError(Cat(pid_file, " holds no process's number"));
  return pid;
}

// The runtime has ended, so the process is a child of this helper, and its number is its own.
absl::StatusOr<RunningProcess> ProcessOf(const std::string& pid_file) {
  RunningProcess process;
  ASSIGN_OR_RETURN(process.pid, NumberIn(pid_file));
  process.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!process.pidfd.valid()) return ErrnoStatus("opening process ", process.pid);
  return process;
}

// Runs the command and says what came of it; returns only after a failure.
absl::Status RunAndHandOver(OciCommand& command, std::vector<std::string> words,
                            const std::string& id, bool terminal, absl::Duration patience,
                            OutcomeChannel& outcome) {
  words.insert(words.end(), {"--detach", "--pid-file", command.File("pid")});
  std::optional<ConsoleSocket> console;
  if (terminal) {
    const std::string socket = Cat("oci/", BaseName(command.File("tty")));
    ASSIGN_OR_RETURN(console, ConsoleSocket::Listen(socket));
    words.insert(words.end(), {"--console-socket", socket});
  }
  words.push_back(id);
  RETURN_IF_ERROR(command.Run(words, patience, console.has_value() ? &*console : nullptr));
  ASSIGN_OR_RETURN(const RunningProcess process, ProcessOf(command.File("pid")));
  pid_t inner = 0;
  if (PathExists(command.File("inner"))) {
    ASSIGN_OR_RETURN(inner, NumberIn(command.File("inner")));
  }
  if (console.has_value()) RETURN_IF_ERROR(outcome.SendTerminal(console->TakeTerminal().get()));
  return outcome.SendProcess(process.pid, process.pidfd.get(), inner);
}

absl::Status Start(const StartRequest& request, const CgroupTree& tree, OutcomeChannel& outcome) {
  RETURN_IF_ERROR(EnterBundle(request.bundle));
  RETURN_IF_ERROR(MakeFolders(JoinPath(request.bundle, "oci"), 0700));
  ASSIGN_OR_RETURN(const std::string text, ReadBundleConfig(request.bundle));
  ASSIGN_OR_RETURN(const Json config, ParseJson(text, "config.json"));
  ASSIGN_OR_RETURN(const NamespacePlan namespaces, ReadNamespacePlan(text));
  if (!namespaces.user_path.empty()) {
    ASSIGN_OR_RETURN(const IdMaps maps, ParseIdMaps(ObjectOf(config, "linux")));
    GiveToRoot(Taken(request.io), maps);
  }
  RETURN_IF_ERROR(EnterMountSpaceOfContainer(config, namespaces.user_path, request.bundle,
                                             request.rootfs, tree));
  OciCommand command(request.runtime, request.bundle, "run");
  const absl::Status status =
      RunAndHandOver(command, {"run", "--bundle", request.bundle}, request.container_id,
                     request.io.terminal, kStartPatience, outcome);
  if (status.ok()) return status;
  // Most runtimes have done so themselves; one that was killed has not.
  OciCommand undo(request.runtime, request.bundle, "delete");
  (void)undo.Run({"delete", "--force", request.container_id}, kDeletePatience);
  return status;
}

absl::Status Kill(const KillRequest& request) {
  // With 0 the runtime would kill the container, whose own group is 1.
  if (request.inner <= 1) {
    return absl::FailedPreconditionError("the runtime told no process of it in the sandbox");
  }
  OciCommand command(request.runtime, request.bundle, Cat("kill-", request.exec_id));
  command.EndWith(request.pidfd);
  return command.Run({"kill", "--pgid", Cat(request.inner), request.container_id, "KILL"},
                     kKillPatience);
}

void KillChildren() {
  const absl::StatusOr<std::string> children = ReadFile("/proc/thread-self/children", 1 << 16);
  if (!children.ok()) return;
  for (const std::string_view word : SplitWords(*children, ' ')) {
    pid_t child = 0;
    std::from_chars(word.data(), word.data() + word.size(), child);
    if (child > 0) ::kill(child, SIGKILL);
  }
}

// A runtime that gives up because the machine is slow leaves the process behind that asks the
// sandbox for the exec, or has asked already.
void EndLateExec(const ExecRequest& request, const OciCommand& command) {
  const absl::StatusOr<RunningProcess> process = ProcessOf(command.File("pid"));
  const absl::StatusOr<pid_t> inner = NumberIn(command.File("inner"));
  if (process.ok() && inner.ok()) {
    (void)Kill({request.container_id, request.bundle, request.exec_id, request.runtime, *inner,
                process->pidfd.get()});
  }
  KillChildren();
}

absl::Status Exec(const ExecRequest& request, int container_pidfd, const CgroupTree& tree,
                  const Cgroup* exec, OutcomeChannel& outcome) {
  RETURN_IF_ERROR(EnterBundle(request.bundle));
  const bool sandboxed = request.runtime.sandboxed;
  if (!sandboxed) {  // the ids that a sandbox itself runs with are no container's
    ASSIGN_OR_RETURN(const UniqueFd proc, OpenHostProc());
    ASSIGN_OR_RETURN(const IdMaps maps, IdMapsOf(proc.get(), container_pidfd));
    if (!maps.empty()) GiveToRoot(Taken(request.io), maps);
  }
  const Cgroup container(tree, request.cgroup_path);
  const bool pure_v2 = tree.version() == CgroupVersion::kV2;
  if (!pure_v2 && !sandboxed) RETURN_IF_ERROR(EnterMountSpaceOfExec(tree, container, exec));
  OciCommand command(request.runtime, request.bundle, Cat("exec-", request.exec_id));
  RETURN_IF_ERROR(ReplaceFile(command.File("json"), request.process_json, 0600));
  std::vector<std::string> words = {"exec", "--process", command.File("json")};
  if (pure_v2 && exec != nullptr) words.insert(words.end(), {"--cgroup", BaseName(exec->path())});
  if (sandboxed) words.insert(words.end(), {"--internal-pid-file", command.File("inner")});
  const absl::Status status = RunAndHandOver(command, std::move(words), request.container_id,
                                             request.io.terminal, kExecPatience, outcome);
  if (!status.ok() && sandboxed) EndLateExec(request, command);
  return status;
}

// Runtimes do not always name it in what they say.
std::string ProgramOf(const std::string& process_json) {
  const absl::StatusOr<Json> process = ParseJson(process_json, "the exec's process");
  const std::vector<std::string> args =
      process.ok() ? StringList(*process, "args") : std::vector<std::string>();
  return args.empty() ? "" : args[0];
}

bool HasEnded(int pidfd, int patience_ms = 0) {
  struct pollfd end = {pidfd, POLLIN, 0};
  return pidfd >= 0 && ::poll(&end, 1, patience_ms) == 1;
}

// Tells the failure, or waits until the process is watched; then ends, and the process becomes the
// monitor's.
[[noreturn]] void End(OutcomeChannel& outcome, const absl::Status& status, const std::string& id) {
  if (status.ok()) {
    outcome.AwaitRelease();
    ::_exit(0);
  }
  outcome.SendFailure(Annotate(status, Cat("container ", id)));
  ::_exit(kExitSetupFailed);
}

}  // namespace

void RunOciStart(const StartRequest& request, const CgroupTree& tree, OutcomeChannel outcome) {
  absl::Status status = CleanChild();
  int channel = outcome.Release();
  if (status.ok()) status = TakeDescriptors(request.io, {&channel});
  OutcomeChannel kept{UniqueFd(channel)};
  if (status.ok()) status = Start(request, tree, kept);
  End(kept, status, request.container_id);
}

void RunOciExec(const ExecRequest& request, const CgroupTree& tree, const Cgroup* exec,
                OutcomeChannel outcome) {
  absl::Status status = CleanChild();
  int channel = outcome.Release();
  int container = request.container_pidfd;
  if (status.ok()) status = TakeDescriptors(request.io, {&channel, &container});
  OutcomeChannel kept{UniqueFd(channel)};
  if (status.ok()) status = Exec(request, container, tree, exec, kept);
  if (!status.ok() && HasEnded(container)) {
    status = absl::FailedPreconditionError("the container no longer runs");
  } else if (!status.ok()) {
    status = Annotate(status, Cat("exec \"", ProgramOf(request.process_json), "\""));
  }
  End(kept, status, request.container_id);
}

void RunOciKill(KillRequest request, OutcomeChannel outcome) {
  absl::Status status = CleanChild();
  int channel = outcome.Release();
  if (status.ok()) status = TakeDescriptors(ProcessIo(), {&channel, &request.pidfd});
  OutcomeChannel kept{UniqueFd(channel)};
  if (status.ok()) status = EnterBundle(request.bundle);
  if (status.ok()) status = Kill(request);
  // It may be its container's end that the runtime complains of.
  if (status.ok() || HasEnded(request.pidfd, kEndPatienceMs)) ::_exit(0);
  kept.SendFailure(status);
  ::_exit(kExitSetupFailed);
}

}  // namespace crisp
