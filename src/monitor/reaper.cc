#include "monitor/reaper.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <cerrno>

#include "base/status.h"

namespace crisp {
namespace {

constexpr size_t kMaxStrays = 10000;

}  // namespace

int ExitCodeOf(int wait_status) {
  constexpr int kSignalBase = 128;
  if (WIFSIGNALED(wait_status)) return kSignalBase + WTERMSIG(wait_status);
  return WEXITSTATUS(wait_status);
}

absl::StatusOr<std::unique_ptr<Reaper>> Reaper::Create(EventLoop& loop) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  UniqueFd signals(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.valid()) return ErrnoStatus("signalfd");
  std::unique_ptr<Reaper> reaper(new Reaper(loop, std::move(signals)));
  Reaper* const self = reaper.get();
  RETURN_IF_ERROR(loop.Add(self->signals_.get(), EPOLLIN, [self](uint32_t) {
    // Several deaths are one signal: what counts is waitpid below.
    struct signalfd_siginfo info;
    while (read(self->signals_.get(), &info, sizeof info) > 0) {
    }
    self->Reap();
  }));
  return reaper;
}

Reaper::~Reaper() { loop_.Remove(signals_.get()); }

void Reaper::Watch(pid_t child, Ended ended) { children_[child] = std::move(ended); }

void Reaper::Reap() {
  while (true) {
    int wait_status = 0;
    const pid_t child = waitpid(-1, &wait_status, WNOHANG);
    if (child < 0 && errno == EINTR) continue;
    if (child <= 0) return;
    auto node = children_.extract(child);
    if (!node.empty()) {
      node.mapped()(wait_status);
    } else if (expecting_ > 0 && strays_.size() < kMaxStrays) {
      strays_[child] = wait_status;
    }
  }
}

std::optional<int> Reaper::TakeStray(pid_t child) {
  const auto node = strays_.extract(child);
  return node.empty() ? std::nullopt : std::optional<int>(node.mapped());
}

}  // namespace crisp
