#include "cli/stream_flags.h"

#include <CLI/CLI.hpp>

namespace crisp {

void AddStreamFlags(CLI::App& command, StreamFlags& flags) {
  command.add_flag("-i,--stdin", flags.in, "pass standard input on");
  command.add_flag("-t,--tty", flags.terminal, "with a terminal");
}

}  // namespace crisp
