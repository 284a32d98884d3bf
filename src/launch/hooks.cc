#include "launch/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "launch/child_process.h"
#include "launch/json_list.h"

namespace crisp {
namespace {

constexpr absl::Duration kDefaultTimeout = absl::Seconds(60);
constexpr size_t kMaxOutput = 2048;

absl::StatusOr<UniqueFd> StateFile(const HookState& state, const Json& config) {
  const Json text = {{"ociVersion", "1.0.2"},  {"id", state.container_id},
                     {"status", state.status}, {"pid", state.pid},
                     {"bundle", state.bundle}, {"annotations", ObjectOf(config, "annotations")}};
  UniqueFd file(::memfd_create("state.json", MFD_CLOEXEC));
  if (!file.valid()) return ErrnoStatus("memfd_create for a hook");
  RETURN_IF_ERROR(WriteAll(file.get(), JsonText(text), "state.json"));
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

struct Running {
  pid_t pid = -1;
  UniqueFd pidfd;
  UniqueFd output;
};

absl::StatusOr<Running> Begin(const Json& hook, const std::string& path, int state_fd) {
  std::vector<std::string> args = StringList(hook, "args");
  if (args.empty()) args.push_back(path);
  std::vector<std::string> env = StringList(hook, "env");
  const std::vector<char*> argv = ExecPointers(args), envp = ExecPointers(env);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("pipe2 for a hook");
  Running running;
  running.output.reset(ends[0]);
  const UniqueFd write_end(ends[1]);
  running.pid = ::fork();
  if (running.pid < 0) return ErrnoStatus("fork for a hook");
  if (running.pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ::setpgid(0, 0);
    if (::dup2(state_fd, 0) < 0 || ::dup2(write_end.get(), 1) < 0 ||
        ::dup2(write_end.get(), 2) < 0) {
      ::_exit(126);
    }
    ::execve(path.c_str(), argv.data(), envp.data());
    const std::string why = ErrnoStatus("exec").ToString();
    ::_exit(::write(2, why.data(), why.size()) >= 0 ? 127 : 126);
  }
  running.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, running.pid, 0)));
  return running;
}

// Reads the output until the hook ends or its time is over; keeps the end of it.
bool Await(const Running& running, absl::Time deadline, std::string& output) {
  ::fcntl(running.output.get(), F_SETFL, O_NONBLOCK);
  bool open = true;
  while (true) {
    struct pollfd fds[] = {{running.pidfd.get(), POLLIN, 0},
                           {open ? running.output.get() : -1, POLLIN, 0}};
    const int64_t left = std::max<int64_t>(absl::ToInt64Milliseconds(deadline - absl::Now()), 0);
    const int ready = ::poll(fds, 2, static_cast<int>(std::min<int64_t>(left + 1, 60000)));
    char buffer[4096];
    ssize_t size = -1;
    while (open && (size = ::read(running.output.get(), buffer, sizeof buffer)) != 0) {
      if (size < 0) break;
      output.append(buffer, static_cast<size_t>(size));
      if (output.size() > kMaxOutput) output.erase(0, output.size() - kMaxOutput);
    }
    if (open && size == 0) open = false;
    if ((fds[0].revents & POLLIN) != 0) return true;
    if (ready <= 0 && absl::Now() >= deadline) return false;
  }
}

absl::Status RunOne(const Json& hook, const std::string& what, int state_fd) {
  const std::string path = JsonString(hook, "path");
  if (path.empty() || path[0] != '/') {
    return absl::InvalidArgumentError(Cat(what, ": its path is not absolute"));
  }
  const int64_t seconds = JsonInt(hook, "timeout");
  const absl::Duration timeout =
      seconds > 0 ? std::min(absl::Seconds(seconds), absl::Hours(1)) : kDefaultTimeout;
  ASSIGN_OR_RETURN(const Running running, Begin(hook, path, state_fd));
  std::string output;
  const bool ended = Await(running, absl::Now() + timeout, output);
  if (!ended) ::kill(-running.pid, SIGKILL);
  int status = 0;
  while (::waitpid(running.pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended) {
    return absl::DeadlineExceededError(
        Cat(what, " ", path, " was killed after ", absl::FormatDuration(timeout)));
  }
  if (status == 0) return absl::OkStatus();
  const std::string how = WIFSIGNALED(status) ? Cat("died of signal ", WTERMSIG(status))
                                              : Cat("exited with ", WEXITSTATUS(status));
  return absl::FailedPreconditionError(Cat(what, " ", path, " ", how, ": ", Trim(output)));
}

}  // namespace

bool HasHooks(const Json& config, const char* name) {
  return !ArrayOf(ObjectOf(config, "hooks"), name).empty();
}

absl::Status CheckHooks(const Json& config) {
  for (const auto& [name, list] : ObjectOf(config, "hooks").items()) {
    if (list.empty() || name == "createContainer" || name == "startContainer") continue;
    return absl::UnimplementedError(Cat("hooks.", name, " is not supported"));
  }
  return absl::OkStatus();
}

absl::Status RunHooks(const Json& config, const char* name, const HookState& state) {
  const Json& hooks = ArrayOf(ObjectOf(config, "hooks"), name);
  for (const Json& hook : hooks) {
    ASSIGN_OR_RETURN(const UniqueFd file, StateFile(state, config));
    RETURN_IF_ERROR(RunOne(hook, Cat("the ", name, " hook"), file.get()));
  }
  return absl::OkStatus();
}

}  // namespace crisp
