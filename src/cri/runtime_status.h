// What Version, Status and RuntimeConfig answer. Any thread; never waits.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "api/cri.pb.h"
#include "base/json.h"
#include "pod/runtime_handlers.h"

namespace crisp {

struct HandlerHealth {
  std::string name;  // "" is the default one
  RuntimeFeatures features;
};

// All handlers, and the default one again as "".
std::vector<HandlerHealth> HandlersOf(const RuntimeHandlers& handlers);

// The facts that Status is made of.
struct RuntimeHealth {
  absl::Status runtime;  // ok, or why no pod can be run
  absl::Status network;  // ok, or why no pod gets a network
  std::vector<HandlerHealth> handlers;
  bool user_namespaces = false;  // of this host, by the native handler
  Json facts;                    // for verbose
};

runtime::v1::VersionResponse VersionAnswer();
runtime::v1::StatusResponse StatusAnswer(const RuntimeHealth& health, bool verbose);

}  // namespace crisp
