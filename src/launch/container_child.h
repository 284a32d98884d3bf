// ContainerChild and ExecChild: what the forked child does from clone3 to execve. Each Run returns
// only if it failed; the reason then goes to the caller through the outcome channel.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/json.h"
#include "kernel/cgroup.h"
#include "kernel/user_namespace.h"
#include "launch/container_mounts.h"
#include "launch/launcher.h"
#include "launch/namespace_plan.h"
#include "launch/outcome_channel.h"
#include "launch/process_setup.h"
#include "launch/seccomp_filter.h"

namespace crisp {

// A container's first process. Prepare needs the host's privileges; Run follows in the same
// process, or in a copy of it that has joined the container's user namespace.
class ContainerChild {
 public:
  ContainerChild(const StartRequest& request, const NamespacePlan& namespaces,
                 const CgroupTree& tree, Cgroup& cgroup, bool in_v2)
      : request_(request), namespaces_(namespaces), tree_(tree), cgroup_(cgroup), in_v2_(in_v2) {}

  // user_namespace_fd: what the container joins afterwards, or -1.
  absl::Status Prepare(const std::string& config_text, int user_namespace_fd);
  absl::Status Run(OutcomeChannel& outcome);

 private:
  absl::Status JoinCgroup();
  absl::Status OpenNamespaces();
  absl::Status PrepareUserNamespace(int user_namespace_fd);
  absl::Status JoinNamespaces();
  absl::Status NameHost() const;
  absl::StatusOr<UniqueFd> AttachContainerRoot();
  absl::StatusOr<UniqueFd> BuildRoot(ProcessSetup& setup);

  const StartRequest& request_;
  const NamespacePlan& namespaces_;
  const CgroupTree& tree_;
  Cgroup& cgroup_;
  const bool in_v2_;

  Json config_;
  SeccompFilter filter_;
  UniqueFd proc_;
  std::vector<UniqueFd> joined_;  // as namespaces_.join
  // With a user namespace alone: taken while the host's privileges are at hand.
  bool mapped_ = false;
  ContainerMounts mounts_;
  UniqueFd root_;  // detached
};

// A further process in a running container.
absl::Status RunExecChild(const ExecRequest& request, const Cgroup& cgroup, bool in_v2,
                          OutcomeChannel& outcome);

}  // namespace crisp
