#include "monitor/scope_holder.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

[[noreturn]] void HoldForEver() {
  // The kernel's killing of a whole cgroup for memory spares what is exempt by -1000.
  [[maybe_unused]] const absl::Status adjusted = WriteExisting("/proc/self/oom_score_adj", "-1000");
  prctl(PR_SET_NAME, "crisp-hold");
  prctl(PR_SET_DUMPABLE, 0);
  setsid();
  if (chdir("/") != 0) _exit(1);
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  close_range(0, ~0U, 0);
  while (true) pause();
}

}  // namespace

int StartScopeHolder() {
  const pid_t holder = fork();
  if (holder == 0) HoldForEver();
  if (holder < 0) return 1;
  return printf("%d\n", static_cast<int>(holder)) > 0 && fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace crisp
