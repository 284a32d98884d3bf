#include "launch/oci_command.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "launch/runtime_log.h"

namespace crisp {
namespace {

constexpr size_t kMaxLog = 1 << 20;
constexpr int kCannotExecute = 127;
constexpr absl::Duration kTerminalPatience = absl::Seconds(5);  // after the runtime's end

[[noreturn]] void Execute(const std::vector<std::string>& words) {
  // No runtime outlives its helper, which alone knows what it was for.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  // runsc and runc look for programs and temporary folders by these.
  char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  char* environment[] = {path, nullptr};
  ::execve(argv[0], argv.data(), environment);
  ::_exit(kCannotExecute);
}

int WaitFor(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

OciCommand::OciCommand(const RuntimeProgram& runtime, const std::string& bundle, std::string name)
    : runtime_(runtime), folder_(JoinPath(bundle, "oci")), name_(std::move(name)) {}

OciCommand::~OciCommand() {
  for (const char* ending : {"log", "pid", "json", "inner"}) (void)RemoveFile(File(ending));
}

std::string OciCommand::File(std::string_view ending) const {
  return Cat(folder_, "/", name_, ".", ending);
}

absl::Status OciCommand::Run(const std::vector<std::string>& words, absl::Duration patience,
                             ConsoleSocket* console) {
  std::vector<std::string> all = {runtime_.path};
  all.insert(all.end(), runtime_.args.begin(), runtime_.args.end());
  for (const std::string& word :
       {std::string("--root"), JoinPath(folder_, "state"), std::string("--log"), File("log"),
        std::string("--log-format"), std::string("json")}) {
    all.push_back(word);
  }
  all.insert(all.end(), words.begin(), words.end());
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus("fork for ", runtime_.path);
  if (pid == 0) Execute(all);
  const absl::StatusOr<int> wait_status = Await(pid, words[0], patience, console);
  if (!wait_status.ok()) return wait_status.status();
  return *wait_status == 0 ? absl::OkStatus() : Failure(*wait_status);
}

absl::StatusOr<int> OciCommand::Await(pid_t pid, const std::string& verb, absl::Duration patience,
                                      ConsoleSocket* console) const {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  absl::Time deadline = absl::Now() + patience;
  bool ended = false;
  absl::Status console_failure;
  while (!ended || (console != nullptr && !console->has_terminal())) {
    std::array<struct pollfd, 3> fds = {
        {{ended ? -1 : pidfd.get(), POLLIN, 0},
         {console == nullptr || console->has_terminal() ? -1 : console->fd(), POLLIN, 0},
         {ended ? -1 : end_with_, POLLIN, 0}}};
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    const int ready = left <= 0 ? 0 : ::poll(fds.data(), fds.size(), static_cast<int>(left) + 1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      if (ended) return absl::InternalError(Cat(runtime_.path, " ", verb, " brought no terminal"));
      ::kill(pid, SIGKILL);
      WaitFor(pid);
      return absl::DeadlineExceededError(Cat(runtime_.path, " ", verb, " did not end within ",
                                             absl::FormatDuration(patience), " and was killed"));
    }
    if (fds[1].revents != 0) {
      // What the runtime says of it at its end is better.
      console_failure = console->Serve();
      if (!console_failure.ok()) console = nullptr;
    }
    if (fds[2].revents != 0 && fds[0].revents == 0) {
      ::kill(pid, SIGKILL);
      WaitFor(pid);
      return absl::CancelledError(Cat(runtime_.path, " ", verb, " has nothing to act on any more"));
    }
    if (fds[0].revents != 0) {
      const int wait_status = WaitFor(pid);
      if (wait_status != 0) return wait_status;
      ended = true;
      deadline = std::min(deadline, absl::Now() + kTerminalPatience);
    }
  }
  RETURN_IF_ERROR(console_failure);
  return 0;
}

absl::Status OciCommand::Failure(int wait_status) const {
  const absl::StatusOr<std::string> log = ReadFile(File("log"), kMaxLog);
  const std::string message = log.ok() ? LastRuntimeMessage(*log) : "";
  if (!message.empty()) return RuntimeFailure(Cat(runtime_.path, ": ", message));
  if (WIFSIGNALED(wait_status)) {
    return absl::InternalError(Cat(runtime_.path, " was killed by signal ", WTERMSIG(wait_status)));
  }
  if (WEXITSTATUS(wait_status) == kCannotExecute) {
    return absl::FailedPreconditionError(Cat(
        runtime_.path, " cannot be executed; the [[runtime]] table of the configuration names it"));
  }
  return absl::InternalError(
      Cat(runtime_.path, " failed with exit code ", WEXITSTATUS(wait_status), " and said nothing"));
}

}  // namespace crisp
