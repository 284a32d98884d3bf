// The command line of crispd. Main thread, once.
#pragma once

#include <optional>
#include <string>

#include "daemon/config.h"

namespace crisp {

struct DaemonFlags {
  std::string config_file;  // empty: none named and the usual one is absent
  ConfigFlags values;       // by key
};

inline constexpr const char* kUsualConfigFile = "/etc/crisp/crisp.toml";

// The flags; or the exit code when the command line was a question (--help, --version,
// --default-config) that has been answered on stdout, or wrong (explained on stderr).
std::optional<int> ParseFlags(int argc, char** argv, DaemonFlags& flags);

}  // namespace crisp
