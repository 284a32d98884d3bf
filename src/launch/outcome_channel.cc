#include "launch/outcome_channel.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "base/status.h"
#include "kernel/packet_socket.h"
#include "launch/launcher.h"

namespace crisp {
namespace {

constexpr char kReady = 'R';
constexpr char kTerminal = 'T';
constexpr char kFailure = 'F';  // then one byte: the status code, then the message
constexpr size_t kMaxMessage = 8 << 10;

absl::Status FailureIn(std::string_view packet) {
  if (packet.size() < 2) return absl::InternalError("the launch failed without saying why");
  return absl::Status(static_cast<absl::StatusCode>(packet[1]), ToAbsl(packet.substr(2)));
}

Outcome Fail(Launch& launch, absl::Status status) {
  if (launch.pidfd.valid()) {
    ::syscall(SYS_pidfd_send_signal, launch.pidfd.get(), SIGKILL, nullptr, 0);
  }
  launch.outcome.reset();
  if (launch.undo) std::exchange(launch.undo, nullptr)();
  return {std::move(status), UniqueFd()};
}

}  // namespace

absl::Status OutcomeChannel::SendTerminal(int controller) {
  const int descriptors[] = {controller};
  return SendPacket(socket_.get(), std::string_view(&kTerminal, 1), descriptors);
}

absl::Status OutcomeChannel::SendReady() {
  return SendPacket(socket_.get(), std::string_view(&kReady, 1));
}

void OutcomeChannel::SendFailure(const absl::Status& status) {
  std::string packet(1, kFailure);
  packet += static_cast<char>(status.code());
  packet += FromAbsl(status.message().substr(0, kMaxMessage));
  // Should the seccomp filter forbid even this, the caller still sees the process end.
  if (::write(socket_.get(), packet.data(), packet.size()) < 0) return;
}

std::optional<Outcome> ReadOutcome(Launch& launch) {
  for (;;) {
    absl::StatusOr<ReceivedPacket> packet = ReceivePacket(launch.outcome.get());
    if (absl::IsUnavailable(packet.status())) return std::nullopt;
    if (!packet.ok()) {
      if (!launch.ready || !absl::IsAborted(packet.status())) {
        return Fail(launch, absl::InternalError(
                                "the process died while it was being set up (was it killed?)"));
      }
      launch.outcome.reset();
      launch.undo = nullptr;
      return Outcome{absl::OkStatus(), std::move(launch.terminal)};
    }
    switch (packet->data[0]) {
      case kReady:
        launch.ready = true;
        break;
      case kTerminal:
        if (packet->descriptors.size() == 1) launch.terminal = std::move(packet->descriptors[0]);
        break;
      default:
        return Fail(launch, FailureIn(packet->data));
    }
  }
}

}  // namespace crisp
