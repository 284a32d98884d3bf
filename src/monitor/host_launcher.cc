#include "monitor/host_launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "kernel/packet_socket.h"
#include "kernel/terminal.h"
#include "launch/outcome_channel.h"

namespace crisp {
namespace {

void Connect(int fd, int target) {
  if (fd < 0) fd = open("/dev/null", O_RDWR);
  dup2(fd, target);
}

[[noreturn]] void RunChild(const std::vector<std::string>& args, const ProcessIo& io,
                           OutcomeChannel channel) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  if (io.terminal) {
    setsid();
    absl::StatusOr<TerminalPair> pair = OpenTerminalPair();
    if (!pair.ok() || !channel.SendTerminal(pair->controller.get()).ok()) _exit(1);
    for (int fd = 0; fd < 3; ++fd) dup2(pair->terminal.get(), fd);
  } else {
    Connect(io.in, 0);
    Connect(io.out, 1);
    Connect(io.err, 2);
  }
  std::vector<char*> argv;
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  if (access(argv[0], X_OK) != 0) {
    channel.SendFailure(ErrnoStatus("exec \"", args[0], "\""));
    _exit(1);
  }
  if (!channel.SendReady().ok()) _exit(1);
  execv(argv[0], argv.data());
  _exit(1);
}

absl::StatusOr<Launch> RunOnHost(const Json& process, const ProcessIo& io) {
  std::vector<std::string> args;
  if (const Json* list = JsonMember(process, "args"); list != nullptr && list->is_array()) {
    for (const Json& arg : *list) args.push_back(arg.get<std::string>());
  }
  if (args.empty()) return absl::InvalidArgumentError("no args");
  using Ends = std::pair<UniqueFd, UniqueFd>;
  ASSIGN_OR_RETURN(Ends ends, PacketSocketPair());
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus("fork");
  if (pid == 0) RunChild(args, io, OutcomeChannel(std::move(ends.second)));
  Launch launch;
  launch.pid = pid;
  launch.pidfd = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  launch.outcome = std::move(ends.first);
  return launch;
}

}  // namespace

absl::StatusOr<Launch> HostLauncher::Start(const StartRequest& request) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(request.bundle + "/config.json"));
  ASSIGN_OR_RETURN(const Json config, ParseJson(text, "config.json"));
  return RunOnHost(config.value("process", Json::object()), request.io);
}

absl::StatusOr<Launch> HostLauncher::Exec(const ExecRequest& request) {
  ASSIGN_OR_RETURN(const Json process, ParseJson(request.process_json, "process"));
  return RunOnHost(process, request.io);
}

}  // namespace crisp
