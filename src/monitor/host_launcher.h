// HostLauncher: for tests: runs the args of a bundle's config.json (and of an exec's process) as
// plain processes of the host, with no container around them. One thread.
#pragma once

#include "launch/launcher.h"

namespace crisp {

class HostLauncher : public Launcher {
 public:
  absl::StatusOr<Launch> Start(const StartRequest& request) override;
  absl::StatusOr<Launch> Exec(const ExecRequest& request) override;
};

}  // namespace crisp
