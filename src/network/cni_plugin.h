// Running one CNI plugin: the specification's execution protocol (environment, JSON on stdin and
// stdout, error objects, deadline). Any thread; blocks until the plugin has ended.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/call.h"
#include "base/json.h"

namespace crisp {

struct CniInvocation {
  std::string command;  // ADD, DEL, CHECK, GC, STATUS
  std::string container_id;
  std::string netns;  // empty if it has gone
  std::string interface_name;
  std::string args;                   // "K=V;K=V"
  std::vector<std::string> bin_dirs;  // searched in order
};

// Path of the program. NotFound names type and folders.
absl::StatusOr<std::string> FindCniPlugin(const std::vector<std::string>& bin_dirs,
                                          const std::string& type);

// What the plugin printed. Otherwise the error it reported in the specification's form (Unavailable
// for "try again later" and for a STATUS that says no), or what it wrote to stderr.
absl::StatusOr<std::string> RunCniPlugin(const std::string& type, const CniInvocation& invocation,
                                         const Json& config, const Call& call);

}  // namespace crisp
