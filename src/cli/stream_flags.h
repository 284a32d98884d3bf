// StreamFlags: -i and -t, by which run, exec and attach join a container's streams with this
// program's own. Main thread.
#pragma once

namespace CLI {
class App;
}

namespace crisp {

struct StreamFlags {
  bool in = false;        // -i: standard input is passed on
  bool terminal = false;  // -t: the other side has a terminal, and ours is as raw as that
  bool any() const { return in || terminal; }
};

// Adds the two flags to a command.
void AddStreamFlags(CLI::App& command, StreamFlags& flags);

// The fields that ExecRequest and AttachRequest share.
template <typename Request>
void SetStreams(const StreamFlags& flags, Request& request) {
  request.set_tty(flags.terminal);
  request.set_stdin(flags.in);
  request.set_stdout(true);
  request.set_stderr(!flags.terminal);
}

}  // namespace crisp
