// RestoreChild: what the forked child does to bring a checkpointed container back: it joins the
// cgroup, mounts the container's root in a mount namespace of its own and becomes CRIU, which makes
// the processes, their namespaces and all other mounts. What CRIU mounted beside the container goes
// with it. Used in the forked child alone.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/json.h"
#include "base/unique_fd.h"
#include "kernel/cgroup.h"
#include "launch/launcher.h"
#include "launch/namespace_plan.h"
#include "launch/outcome_channel.h"

namespace crisp {

class RestoreChild {
 public:
  RestoreChild(const RestoreRequest& request, const NamespacePlan& namespaces, Cgroup& cgroup,
               bool in_v2)
      : request_(request), namespaces_(namespaces), cgroup_(cgroup), in_v2_(in_v2) {}

  // Returns only if it failed.
  absl::Status Run(const std::string& config_text, OutcomeChannel& outcome);

 private:
  absl::Status JoinCgroup();
  absl::Status EnterNamespaces();
  absl::Status BuildRoot();
  absl::Status TakeStreams();
  absl::Status TakeTerminal(OutcomeChannel& outcome);
  void AddPlaces();

  const RestoreRequest& request_;
  const NamespacePlan& namespaces_;
  Cgroup& cgroup_;
  const bool in_v2_;

  Json config_;
  std::string root_;  // where the container's root is mounted
  std::vector<std::string> args_;
  std::vector<std::pair<UniqueFd, std::string>> inherited_;  // what CRIU gets, and what it is for
};

}  // namespace crisp
