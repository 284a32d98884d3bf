// crisp-monitor: one a pod. crispd starts it and may die; it stays until it is told to shut down:
//   crisp-monitor --pod ID --listen-fd N [--pod-init [--netns PATH] [--ipcns PATH] [--utsns PATH]
//     [--userns PATH]]
//   crisp-monitor --hold
// N is a listening packet socket. docs/monitor-protocol.md.
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "kernel/cgroup_tree.h"
#include "launch/launcher_choice.h"
#include "launch/native_launcher.h"
#include "launch/oci_cli_launcher.h"
#include "monitor/control_server.h"
#include "monitor/monitor_log.h"
#include "monitor/pod_init.h"
#include "monitor/pod_monitor.h"
#include "monitor/scope_holder.h"

namespace crisp {
namespace {

// For the pod's init, which dies at once unless something in its PID namespace hangs in the kernel.
constexpr absl::Duration kInitPatience = absl::Seconds(2);

struct Arguments {
  std::string pod_id;
  int listen_fd = -1;
  bool pod_init = false;
  std::vector<std::string> namespaces;
  std::string user_namespace;
};

absl::StatusOr<Arguments> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--pod-init") {
      arguments.pod_init = true;
      continue;
    }
    if (i + 1 >= argc) return absl::InvalidArgumentError(Cat("no value follows ", name));
    const std::string_view value = argv[++i];
    if (name == "--pod") {
      arguments.pod_id = std::string(value);
    } else if (name == "--listen-fd") {
      const auto [end, error] =
          std::from_chars(value.data(), value.data() + value.size(), arguments.listen_fd);
      if (error != std::errc() || end != value.data() + value.size()) {
        return absl::InvalidArgumentError(Cat("--listen-fd ", value, " is no number"));
      }
    } else if (name == "--netns" || name == "--ipcns" || name == "--utsns") {
      arguments.namespaces.emplace_back(value);
    } else if (name == "--userns") {
      arguments.user_namespace = std::string(value);
    } else {
      return absl::InvalidArgumentError(Cat("the option ", name, " is unknown"));
    }
  }
  if (arguments.pod_id.empty() || arguments.listen_fd < 0) {
    return absl::InvalidArgumentError("--pod and --listen-fd are needed");
  }
  return arguments;
}

// Outlive the daemon, its session and its signals; be the last to be killed for memory.
absl::Status SetUpProcess(int listen_fd) {
  prctl(PR_SET_NAME, "crisp-monitor");
  setsid();  // fails only if this is a session's leader already
  umask(022);
  if (chdir("/") != 0) return ErrnoStatus("chdir /");
  for (const int signal : {SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGXFSZ, SIGUSR1, SIGUSR2}) {
    ::signal(signal, SIG_IGN);
  }
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_SETMASK, &child, nullptr);
  ::signal(SIGCHLD, SIG_DFL);  // an inherited SIG_IGN would lose exit codes

  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) {
      return ErrnoStatus("open /dev/null");
    }
  }
  if (fcntl(listen_fd, F_SETFD, FD_CLOEXEC) != 0) {
    return ErrnoStatus("the descriptor of --listen-fd ", listen_fd);
  }
  const int flags = fcntl(listen_fd, F_GETFL);
  if (fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) != 0) return ErrnoStatus("fcntl");

  // Orphans of containers in the host's PID namespace come here to be buried.
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return ErrnoStatus("become a subreaper");
  // Refused without privileges, and then not worth a word.
  [[maybe_unused]] const absl::Status adjusted = WriteExisting("/proc/self/oom_score_adj", "-998");
  return absl::OkStatus();
}

absl::Status Run(const Arguments& arguments) {
  // Small blocks of memory at a time, given back early: there may be hundreds of monitors.
  mallopt(M_TOP_PAD, 16 << 10);
  mallopt(M_TRIM_THRESHOLD, 32 << 10);
  mallopt(M_MMAP_THRESHOLD, 32 << 10);
  RETURN_IF_ERROR(SetUpProcess(arguments.listen_fd));
  UniqueFd listener(arguments.listen_fd);

  pid_t init_pid = 0;
  if (arguments.pod_init) {
    ASSIGN_OR_RETURN(init_pid, StartPodInit(arguments.namespaces, arguments.user_namespace));
  }
  ASSIGN_OR_RETURN(const CgroupTree cgroups, CgroupTree::Detect());
  ASSIGN_OR_RETURN(const std::unique_ptr<EventLoop> loop, EventLoop::Create());
  ASSIGN_OR_RETURN(const std::unique_ptr<Reaper> reaper, Reaper::Create(*loop));
  ASSIGN_OR_RETURN(const std::unique_ptr<ReadBuffer> buffer, ReadBuffer::Create(*loop));
  NativeLauncher native(cgroups);
  OciCliLauncher oci(cgroups);
  LauncherChoice launcher(native, oci);

  ControlServer* server = nullptr;
  PodMonitor pod(
      {*loop, launcher, *reaper, *buffer, &cgroups}, {arguments.pod_id, init_pid},
      {.reply = [&server](uint64_t connection, const monitor::Reply& reply,
                          UniqueFd fd) { server->Reply(connection, reply, std::move(fd)); },
       .event = [&server](const monitor::Packet& event) { server->Broadcast(event); },
       .ended =
           [&] {
             if (init_pid == 0) return loop->Stop();
             // The loop goes on until it is buried.
             kill(init_pid, SIGKILL);
             loop->After(kInitPatience, [&] { loop->Stop(); });
           }});
  ControlServer control(
      *loop, {.request =
                  [&pod](uint64_t connection, const monitor::Request& request,
                         std::vector<UniqueFd> descriptors) {
                    pod.Handle(connection, request, std::move(descriptors));
                  },
              .closed = [&pod](uint64_t connection) { pod.ConnectionClosed(connection); }});
  server = &control;
  if (init_pid > 0) {
    reaper->Watch(init_pid, [&](int) {
      init_pid = 0;
      if (pod.ended()) return loop->Stop();
      pod.InitEnded();
      Report("the pod's init has ended, and all processes of its PID namespace with it");
    });
  }
  RETURN_IF_ERROR(control.Listen(std::move(listener)));
  loop->Run();
  return absl::OkStatus();
}

}  // namespace
}  // namespace crisp

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--hold") return crisp::StartScopeHolder();
  const absl::StatusOr<crisp::Arguments> arguments = crisp::ParseArguments(argc, argv);
  if (!arguments.ok()) {
    crisp::Report(crisp::FromAbsl(arguments.status().message()));
    return 2;
  }
  crisp::SetReportName(arguments->pod_id);
  const absl::Status status = crisp::Run(*arguments);
  if (!status.ok()) crisp::Report(crisp::FromAbsl(status.message()));
  return status.ok() ? 0 : 1;
}
