#include "launch/outcome_channel.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>

#include "base/status.h"
#include "kernel/packet_socket.h"
#include "launch/launcher.h"

namespace crisp {
namespace {

constexpr char kReady = 'R';
constexpr char kTerminal = 'T';
constexpr char kProcess = 'P';  // then its number and Outcome's inner in digits; with its pidfd
constexpr char kFailure = 'F';  // then one byte: the status code, then the message
constexpr size_t kMaxMessage = 8 << 10;

absl::Status FailureIn(std::string_view packet) {
  if (packet.size() < 2) return absl::InternalError("the launch failed without saying why");
  return absl::Status(static_cast<absl::StatusCode>(packet[1]), ToAbsl(packet.substr(2)));
}

// The process that a helper has brought about; the connection becomes what holds the helper back.
std::optional<Outcome> ProcessIn(Launch& launch, ReceivedPacket& packet) {
  Outcome outcome;
  const std::string_view digits = std::string_view(packet.data).substr(1);
  const char* const end = digits.data() + digits.size();
  const char* const blank = std::from_chars(digits.data(), end, outcome.pid).ptr;
  if (blank != end) std::from_chars(blank + 1, end, outcome.inner);
  if (outcome.pid <= 0 || packet.descriptors.size() != 1) return std::nullopt;
  outcome.pidfd = std::move(packet.descriptors[0]);
  outcome.terminal = std::move(launch.terminal);
  outcome.hold = std::move(launch.outcome);
  launch.undo = nullptr;
  return outcome;
}

Outcome Fail(Launch& launch, absl::Status status) {
  if (launch.pidfd.valid()) {
    ::syscall(SYS_pidfd_send_signal, launch.pidfd.get(), SIGKILL, nullptr, 0);
  }
  launch.outcome.reset();
  if (launch.undo) std::exchange(launch.undo, nullptr)();
  Outcome outcome;
  outcome.status = std::move(status);
  return outcome;
}

}  // namespace

absl::Status OutcomeChannel::SendTerminal(int controller) {
  const int descriptors[] = {controller};
  return SendPacket(socket_.get(), std::string_view(&kTerminal, 1), descriptors);
}

absl::Status OutcomeChannel::SendReady() {
  return SendPacket(socket_.get(), std::string_view(&kReady, 1));
}

absl::Status OutcomeChannel::SendProcess(pid_t pid, int pidfd, pid_t inner) {
  const int descriptors[] = {pidfd};
  return SendPacket(socket_.get(), Cat(std::string_view(&kProcess, 1), pid, " ", inner),
                    descriptors);
}

void OutcomeChannel::AwaitRelease() const {
  // POLLHUP comes unasked for.
  struct pollfd end = {socket_.get(), 0, 0};
  while (::poll(&end, 1, -1) < 0 && errno == EINTR) {
  }
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
      Outcome outcome;
      outcome.terminal = std::move(launch.terminal);
      return outcome;
    }
    switch (packet->data[0]) {
      case kReady:
        launch.ready = true;
        break;
      case kTerminal:
        if (packet->descriptors.size() == 1) launch.terminal = std::move(packet->descriptors[0]);
        break;
      case kProcess:
        if (std::optional<Outcome> outcome = ProcessIn(launch, *packet)) return outcome;
        return Fail(launch, absl::InternalError("the launch named no process"));
      default:
        return Fail(launch, FailureIn(packet->data));
    }
  }
}

}  // namespace crisp
