// Terminals: window size, raw mode and pseudo-terminal pairs. Any thread; descriptors are borrowed
// unless returned as UniqueFd.
#pragma once

#include <termios.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp {

// A terminal below /dev/pts by its numbers, and CRIU's name for one whose other end is outside.
struct TerminalNumbers {
  uint64_t rdev = 0;
  uint64_t dev = 0;  // of its devpts
  std::string CriuName() const;
  // Its number in its devpts.
  uint32_t index() const;
};
// InvalidArgument for what is no such terminal.
absl::StatusOr<TerminalNumbers> NumbersOfTerminal(uint64_t rdev, uint64_t dev);

struct TerminalSize {
  uint16_t columns = 0;
  uint16_t rows = 0;
};

// InvalidArgument if fd is no terminal.
absl::StatusOr<TerminalSize> GetTerminalSize(int fd);
// Processes in the terminal's foreground get SIGWINCH if it changed.
absl::Status SetTerminalSize(int fd, TerminalSize size);

// A new pair from this process's own /dev/pts: the controlling side and the terminal itself, which
// does not become the caller's controlling terminal.
struct TerminalPair {
  UniqueFd controller;
  UniqueFd terminal;
};
absl::StatusOr<TerminalPair> OpenTerminalPair();

// Puts a terminal into raw mode for as long as this lives; then the former mode comes back.
class RawMode {
 public:
  static absl::StatusOr<RawMode> Enter(int fd);
  RawMode(RawMode&& other) noexcept : fd_(std::exchange(other.fd_, -1)), before_(other.before_) {}
  RawMode& operator=(RawMode&&) = delete;
  ~RawMode();

 private:
  RawMode(int fd, const struct termios& before) : fd_(fd), before_(before) {}
  int fd_;
  struct termios before_;
};

}  // namespace crisp
