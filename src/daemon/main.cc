// crispd: the order in which it comes up and goes down.
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "absl/synchronization/mutex.h"
#include "base/log.h"
#include "base/status.h"
#include "daemon/daemon.h"
#include "daemon/flags.h"
#include "daemon/notify.h"

namespace crisp {
namespace {

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// Before there is another thread: a handler would run on any of them. What the daemon spawns starts
// with an empty mask (base/subprocess.h, pod/monitor_program.h).
void BlockSignals() {
  const sigset_t stop = StopSignals();
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
}

void WaitForStop() {
  const sigset_t stop = StopSignals();
  int signal = 0;
  while (::sigwait(&stop, &signal) == EINTR) {
  }
}

// What the process needs whatever the configuration says.
void PrepareProcess() {
  // Every thread of a burst would otherwise get an arena of its own, and none gives memory back.
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_TRIM_THRESHOLD, 256 << 10);
  ::umask(0022);
#ifdef NDEBUG
  // Debian's abseil looks for cycles of locks in every build: a tenth of the processor time of a
  // list, behind one lock of the whole process. The tests of the debug build look for them.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
}

absl::Status Run(const Config& config) {
  RETURN_IF_ERROR(StartLog(config.log_level));
  if (::geteuid() != 0) {
    return absl::PermissionDeniedError(
        "crispd needs root, for namespaces, mounts and cgroups; start it with sudo or as a "
        "service");
  }
  BlockSignals();
  ASSIGN_OR_RETURN(const std::unique_ptr<Daemon> daemon, Daemon::Start(config));
  LOG_INFO("crispd {} serves {}", CRISP_VERSION, config.listen);
  ::malloc_trim(0);
  if (absl::Status status = NotifyServiceManager("READY=1\nSTATUS=serving"); !status.ok())
    LOG_WARN("{}", status.ToString());
  daemon->WarmUp();
  WaitForStop();
  LOG_INFO("stopping; pods keep running");
  (void)NotifyServiceManager("STOPPING=1");
  daemon->Stop();
  return absl::OkStatus();
}

}  // namespace
}  // namespace crisp

int main(int argc, char** argv) {
  crisp::PrepareProcess();
  crisp::DaemonFlags flags;
  if (const std::optional<int> code = crisp::ParseFlags(argc, argv, flags)) return *code;
  const auto config = crisp::LoadConfig(flags.config_file, flags.values);
  const absl::Status status = config.ok() ? crisp::Run(*config) : config.status();
  if (status.ok()) return 0;
  std::fprintf(stderr, "crispd: %s\n", std::string(crisp::FromAbsl(status.message())).c_str());
  // 2: the command line or the configuration is wrong, and a restart does not help.
  return config.ok() ? 1 : 2;
}
