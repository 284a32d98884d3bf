// What Version, Status and RuntimeConfig answer. Any thread; never waits.
#pragma once

#include "absl/status/status.h"
#include "api/cri.pb.h"
#include "base/json.h"

namespace crisp {

// The facts that Status is made of.
struct RuntimeHealth {
  absl::Status runtime;  // ok, or why no pod can be run
  absl::Status network;  // ok, or why no pod gets a network
  bool recursive_read_only = false;
  bool user_namespaces = false;
  Json facts;  // for verbose
};

runtime::v1::VersionResponse VersionAnswer();
// Names of handlers that RunPodSandbox accepts: "" is the default one.
std::vector<std::string> RuntimeHandlerNames();
runtime::v1::StatusResponse StatusAnswer(const RuntimeHealth& health, bool verbose);

}  // namespace crisp
