// UpdatePodSandboxResources: what the pod's containers are now meant to need in all. The client
// owns the pod's cgroup when it named one (kubelet always does, and sets its limits itself, before
// or after this call): then it is only noted down. crisp's own pod cgroup follows, best effort:
// a client that takes an error here for a veto (kubelet since 1.36) is never refused for it.
#include "base/log.h"
#include "base/status.h"
#include "kernel/cgroup_transaction.h"
#include "oci/spec.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

// Absent (0) or unlimited (negative) parts make no sum.
int64_t Sum(int64_t resources, int64_t overhead) {
  return resources <= 0 ? resources : resources + std::max<int64_t>(overhead, 0);
}

v1::LinuxContainerResources Total(const v1::LinuxContainerResources& resources,
                                  const v1::LinuxContainerResources& overhead) {
  v1::LinuxContainerResources total;
  total.set_cpu_shares(Sum(resources.cpu_shares(), overhead.cpu_shares()));
  total.set_cpu_period(resources.cpu_period());
  // Quotas of different periods have no sum.
  const bool same = overhead.cpu_period() == resources.cpu_period();
  total.set_cpu_quota(Sum(resources.cpu_quota(), same ? overhead.cpu_quota() : 0));
  total.set_memory_limit_in_bytes(
      Sum(resources.memory_limit_in_bytes(), overhead.memory_limit_in_bytes()));
  // Whether the containers may swap is between them and their own limits.
  if (total.memory_limit_in_bytes() != 0) total.set_memory_swap_limit_in_bytes(-1);
  return total;
}

absl::Status LimitOwnCgroup(const PodState& state, const std::string& path,
                            const v1::LinuxContainerResources& total) {
  Cgroup cgroup(*state.cgroups, path);
  if (!cgroup.Exists()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Json limits, BuildResources(total, state.limits));
  ASSIGN_OR_RETURN(std::vector<CgroupWrite> writes, cgroup.Plan(limits));
  ASSIGN_OR_RETURN(CgroupTransaction transaction, CgroupTransaction::Prepare(std::move(writes)));
  return transaction.Commit();
}

}  // namespace

absl::StatusOr<v1::UpdatePodSandboxResourcesResponse> PodRuntime::UpdatePodSandboxResources(
    const v1::UpdatePodSandboxResourcesRequest& request, const Call& call) {
  PodState& state = *state_;
  ASSIGN_OR_RETURN(const PodPointer pod, state.table.FindPod(request.pod_sandbox_id()));
  ASSIGN_OR_RETURN(OperationLock::Held held, pod->operations.Acquire(call, Cat("pod ", pod->id)));
  const PodRecord before = pod->record.Get();
  if (before->phase() == record::POD_REMOVING) {
    return absl::NotFoundError(Cat("pod ", pod->id, " is being removed"));
  }
  pod->record.Update([&](record::Pod& record) {
    *record.mutable_overhead() = request.overhead();
    *record.mutable_resources() = request.resources();
    return true;
  });
  RETURN_IF_ERROR(state.Save(*pod));
  if (!before->config().linux().cgroup_parent().empty()) {
    return v1::UpdatePodSandboxResourcesResponse();
  }
  const absl::Status limited = LimitOwnCgroup(state, state.OwnPodCgroup(pod->id),
                                              Total(request.resources(), request.overhead()));
  if (!limited.ok()) {
    LOG_WARN("pod {}: its cgroup keeps the limits that it has: {}", pod->id, limited.ToString());
  }
  return v1::UpdatePodSandboxResourcesResponse();
}

}  // namespace crisp
