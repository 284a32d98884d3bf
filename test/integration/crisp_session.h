// CrispSession: a running `crisp`, spoken with through pipes or a terminal. Killed at the end if it
// still runs. What does not come within 20 s fails the test. One thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "kernel/terminal.h"

namespace crisp {

// For the programs that a test starts: a plain PATH, and what a sanitizer is told.
std::vector<std::string> ToolEnvironment();

class CrispSession {
 public:
  enum class Input { kPipes, kTerminal };
  CrispSession(const std::string& endpoint, const std::vector<std::string>& words,
               Input input = Input::kPipes);
  CrispSession(const CrispSession&) = delete;
  ~CrispSession();

  void Say(std::string_view text);
  void EndInput() { in_.reset(); }
  // Standard output (or the terminal) from where the last read ended: until the text has come, or
  // to its end, which a terminal has none of.
  std::string ReadUntil(std::string_view text);
  std::string ReadAll() { return ReadUntil(""); }
  // The same of standard error.
  std::string ReadErrors(std::string_view until = "");
  // The exit code, 128 + n after a signal.
  int Wait();
  void Signal(int number);

  void Resize(TerminalSize size);
  // Whether the terminal is as it was before.
  bool terminal_restored() const;

 private:
  void Start(const std::string& endpoint, const std::vector<std::string>& words, Input input);
  static std::string Read(const UniqueFd& fd, std::string_view until);

  pid_t pid_ = -1;
  UniqueFd in_, out_, err_;
  TerminalPair terminal_;
  struct termios before_ = {};
};

}  // namespace crisp
