#include "pod/monitor_program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <charconv>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "base/subprocess.h"
#include "kernel/mount.h"
#include "pod/pidfd.h"

namespace crisp {
namespace {

constexpr int kListenerInMonitor = 3;
constexpr int kLowestOwnFd = 16;  // above everything that the child's file actions overwrite

// A private read-only mount of the one file, attached nowhere.
absl::StatusOr<UniqueFd> CloneReadOnly(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd tree, CloneMount(AT_FDCWD, path, TreeDepth::kOne));
  MountChange change;
  change.set = MOUNT_ATTR_RDONLY;
  change.propagation = MS_PRIVATE;
  RETURN_IF_ERROR(ChangeMount(tree.get(), change, TreeDepth::kOne, path));
  return tree;
}

}  // namespace

absl::StatusOr<MonitorProgram> MonitorProgram::Open(const std::string& path) {
  if (path.empty() || path[0] != '/') {
    return absl::InvalidArgumentError(
        Cat("the path of crisp-monitor must be absolute, not \"", path, "\""));
  }
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return ErrnoStatus("the program crisp-monitor, ", path);
  if (!S_ISREG(status.st_mode) || (status.st_mode & 0111) == 0) {
    return absl::FailedPreconditionError(Cat(path, " is no program that can be executed"));
  }
  absl::StatusOr<UniqueFd> program = CloneReadOnly(path);
  const bool clone = program.ok();
  if (!clone) {
    LOG_WARN("no read-only clone of {}, which would keep containers from it: {}", path,
             program.status().ToString());
    program = OpenFile(path, O_PATH);
    RETURN_IF_ERROR(program.status());
  }
  UniqueFd high(fcntl(program->get(), F_DUPFD_CLOEXEC, kLowestOwnFd));
  if (!high.valid()) return ErrnoStatus("duplicating the descriptor of ", path);
  return MonitorProgram(std::move(high), path, clone);
}

absl::StatusOr<SpawnedMonitor> MonitorProgram::Spawn(
    std::string_view pod_id, int listener, const std::vector<std::string>& options) const {
  std::vector<std::string> words = {"crisp-monitor", "--pod", std::string(pod_id), "--listen-fd",
                                    std::to_string(kListenerInMonitor)};
  words.insert(words.end(), options.begin(), options.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  char* environment[] = {nullptr};

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  absl::Cleanup free_actions = [&] { posix_spawn_file_actions_destroy(&actions); };
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, 0, 1);
  posix_spawn_file_actions_adddup2(&actions, listener, kListenerInMonitor);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  absl::Cleanup free_attributes = [&] { posix_spawnattr_destroy(&attributes); };
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  // A session of its own: a terminal's Ctrl-C for the daemon must not reach it.
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  SpawnedMonitor spawned;
  const std::string program = Cat("/proc/self/fd/", program_.get());
  const int error =
      posix_spawn(&spawned.pid, program.c_str(), &actions, &attributes, argv.data(), environment);
  if (error != 0) return Errno(error, Cat("starting ", path_, " for pod ", pod_id));
  // Not reaped by anyone but us, so the pid is still its own.
  spawned.pidfd.reset(pidfd_open(spawned.pid, 0));
  if (!spawned.pidfd.valid()) {
    absl::Status status = ErrnoStatus("pidfd_open for the monitor of pod ", pod_id);
    kill(spawned.pid, SIGKILL);
    waitpid(spawned.pid, nullptr, 0);
    return status;
  }
  return spawned;
}

absl::StatusOr<pid_t> MonitorProgram::StartHolder(const Call& call) const {
  ProcessRequest request;
  request.argv = {Cat("/proc/self/fd/", program_.get()), "--hold"};
  ASSIGN_OR_RETURN(const ProcessResult result, RunProcess(request, call));
  pid_t pid = 0;
  const std::string_view text = Trim(result.stdout_data);
  std::from_chars(text.data(), text.data() + text.size(), pid);
  if (result.exit_code == 0 && pid > 0) return pid;
  return absl::InternalError(Cat(path_, " --hold ended with ", result.exit_code, " and printed \"",
                                 text.substr(0, 64), "\""));
}

uint64_t ProcessStartTicks(pid_t pid) {
  absl::StatusOr<std::string> text = ReadFile(Cat("/proc/", pid, "/stat"), 4096);
  if (!text.ok()) return 0;
  // The second field is the name in brackets, which may hold anything: count from the last one.
  const size_t bracket = text->rfind(')');
  if (bracket == std::string::npos) return 0;
  const std::vector<std::string_view> fields =
      SplitWords(std::string_view(*text).substr(bracket + 1), ' ');
  constexpr size_t kStartTime = 22 - 3;  // fields here begin with the third
  uint64_t ticks = 0;
  if (fields.size() <= kStartTime) return 0;
  std::from_chars(fields[kStartTime].data(), fields[kStartTime].data() + fields[kStartTime].size(),
                  ticks);
  return ticks;
}

}  // namespace crisp
