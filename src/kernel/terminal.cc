#include "kernel/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "base/status.h"

namespace crisp {
namespace {

constexpr unsigned kPtsMajor = 136;

}  // namespace

std::string TerminalNumbers::CriuName() const {
  return Cat("tty[", absl::Hex(rdev), ":", absl::Hex(dev), "]");
}

uint32_t TerminalNumbers::index() const { return minor(rdev); }

absl::StatusOr<TerminalNumbers> NumbersOfTerminal(uint64_t rdev, uint64_t dev) {
  if (major(rdev) != kPtsMajor) {
    return absl::InvalidArgumentError(
        Cat("device ", major(rdev), ":", minor(rdev), " is no terminal of /dev/pts"));
  }
  return TerminalNumbers{rdev, dev};
}

absl::StatusOr<TerminalSize> GetTerminalSize(int fd) {
  struct winsize size = {};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0) {
    if (errno == ENOTTY) return absl::InvalidArgumentError("the descriptor is no terminal");
    return ErrnoStatus("read the terminal's size");
  }
  return TerminalSize{size.ws_col, size.ws_row};
}

absl::Status SetTerminalSize(int fd, TerminalSize size) {
  struct winsize native = {};
  native.ws_col = size.columns;
  native.ws_row = size.rows;
  if (ioctl(fd, TIOCSWINSZ, &native) != 0) {
    if (errno == ENOTTY) return absl::InvalidArgumentError("the descriptor is no terminal");
    return ErrnoStatus("set the terminal's size");
  }
  return absl::OkStatus();
}

absl::StatusOr<TerminalPair> OpenTerminalPair() {
  TerminalPair pair;
  pair.controller = UniqueFd(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pair.controller.valid()) return ErrnoStatus("open /dev/ptmx");
  const int unlock = 0;
  if (ioctl(pair.controller.get(), TIOCSPTLCK, &unlock) != 0) {
    return ErrnoStatus("unlock a new terminal");
  }
  // Opened through the controlling side: no path below /dev/pts has to be trusted.
  pair.terminal =
      UniqueFd(ioctl(pair.controller.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pair.terminal.valid()) return ErrnoStatus("open the new terminal");
  return pair;
}

absl::StatusOr<RawMode> RawMode::Enter(int fd) {
  struct termios before;
  if (tcgetattr(fd, &before) != 0) {
    if (errno == ENOTTY) return absl::InvalidArgumentError("the descriptor is no terminal");
    return ErrnoStatus("read the terminal's mode");
  }
  struct termios raw = before;
  cfmakeraw(&raw);
  if (tcsetattr(fd, TCSANOW, &raw) != 0) return ErrnoStatus("set the terminal to raw mode");
  return RawMode(fd, before);
}

RawMode::~RawMode() {
  // TCSADRAIN: what was written in raw mode is still shown in raw mode.
  if (fd_ >= 0) tcsetattr(fd_, TCSADRAIN, &before_);
}

}  // namespace crisp
