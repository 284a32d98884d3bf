// ContainerChild and ExecChild: what the forked child does from clone3 to execve. Each Run returns
// only if it failed; the reason then goes to the caller through the outcome channel.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "kernel/cgroup.h"
#include "launch/launcher.h"
#include "launch/namespace_plan.h"
#include "launch/outcome_channel.h"

namespace crisp {

// A container's first process.
class ContainerChild {
 public:
  ContainerChild(const StartRequest& request, const NamespacePlan& namespaces,
                 const CgroupTree& tree, Cgroup& cgroup, bool in_v2, OutcomeChannel& outcome)
      : request_(request),
        namespaces_(namespaces),
        tree_(tree),
        cgroup_(cgroup),
        in_v2_(in_v2),
        outcome_(outcome) {}

  absl::Status Run(const std::string& config_text);

 private:
  absl::Status JoinCgroup(const Json& config);
  absl::Status JoinNamespaces();
  absl::Status NameHost(const Json& config) const;
  absl::StatusOr<UniqueFd> BuildRoot(const Json& config, class ProcessSetup& setup);

  const StartRequest& request_;
  const NamespacePlan& namespaces_;
  const CgroupTree& tree_;
  Cgroup& cgroup_;
  const bool in_v2_;
  OutcomeChannel& outcome_;
};

// A further process in a running container.
absl::Status RunExecChild(const ExecRequest& request, const Cgroup& cgroup, bool in_v2,
                          OutcomeChannel& outcome);

}  // namespace crisp
