#include "cli/follow.h"

#include <csignal>
#include <cstdio>

#include "absl/time/clock.h"
#include "base/status.h"

namespace crisp {
namespace {

volatile std::sig_atomic_t g_interrupted = 0;

constexpr absl::Duration kLook = absl::Milliseconds(50);
constexpr int kLooksPerQuestion = 10;

absl::StatusOr<cri::ContainerStatus> Ask(Client& client, const std::string& id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  ASSIGN_OR_RETURN(auto answer, client.Call(request));
  return std::move(*answer.mutable_status());
}

}  // namespace

absl::StatusOr<std::optional<cri::ContainerStatus>> FollowUntilExit(Client& client,
                                                                    const std::string& id,
                                                                    LogView& view) {
  for (int look = 0; g_interrupted == 0; ++look) {
    std::optional<cri::ContainerStatus> exited;
    if (look % kLooksPerQuestion == 0) {
      // Asked before the last reading: what was written until the exit is there then.
      ASSIGN_OR_RETURN(cri::ContainerStatus status, Ask(client, id));
      if (status.state() == cri::CONTAINER_EXITED) exited = std::move(status);
    }
    ASSIGN_OR_RETURN(bool more, view.ShowMore());
    if (exited) {
      while (more) {
        ASSIGN_OR_RETURN(more, view.ShowMore());
      }
      return exited;
    }
    if (!more) absl::SleepFor(kLook);
  }
  return std::nullopt;
}

void WriteEntry(LogEntry::Stream stream, std::string_view text) {
  std::FILE* out = stream == LogEntry::Stream::kStdout ? stdout : stderr;
  std::fwrite(text.data(), 1, text.size(), out);
  std::fflush(out);
}

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { g_interrupted = 1; };
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

}  // namespace crisp
