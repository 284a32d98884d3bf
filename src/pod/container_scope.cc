// The systemd cgroup driver, as far as pods see it: which driver is in use, and a container's
// scope. A scope is made just before the container starts, around a holder process that keeps the
// cgroup and its counters until the exit was recorded (monitor/scope_holder.h); killing the scope's
// cgroup ends both. A container that an OCI runtime starts has a cgroup of its own in the scope,
// because runc from 1.2 on takes only one in which, and below which, no process is.
#include <signal.h>
#include <sys/stat.h>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "kernel/cgroup_room.h"
#include "kernel/systemd_scope.h"
#include "oci/spec.h"
#include "oci/systemd_slice.h"
#include "pod/pidfd.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

constexpr ino_t kHostsCgroupNamespace = 0xEFFFFFFB;  // PROC_CGROUP_INIT_INO of Linux
constexpr char kHolder[] = "hold";                   // the holder's sub-cgroup of the scope
constexpr char kInside[] = "container";              // an OCI runtime's

// systemd names cgroups as the host sees them, so crispd must see them in the same way.
absl::Status CheckDriver(const CgroupTree& tree) {
  if (tree.version() != CgroupVersion::kV2) {
    return absl::FailedPreconditionError("the host does not have cgroup version 2 alone");
  }
  struct stat ns = {};
  if (stat("/proc/self/ns/cgroup", &ns) != 0 || ns.st_ino != kHostsCgroupNamespace) {
    return absl::FailedPreconditionError("crispd is in a cgroup namespace of its own");
  }
  return CheckSystemd();
}

absl::StatusOr<Json> ResourcesOf(const std::string& bundle) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(bundle, "config.json"), 8 << 20));
  ASSIGN_OR_RETURN(const Json config, ParseJson(text, JoinPath(bundle, "config.json")));
  const Json* linux_part = JsonMember(config, "linux");
  const Json* resources = linux_part == nullptr ? nullptr : JsonMember(*linux_part, "resources");
  return resources == nullptr ? Json::object() : *resources;
}

}  // namespace

absl::Status PodState::ChooseCgroupDriver() {
  const absl::Status usable = options.cgroup_driver == "cgroupfs"
                                  ? absl::FailedPreconditionError("it is not asked for")
                                  : CheckDriver(*cgroups);
  systemd_cgroups = usable.ok();
  if (options.cgroup_driver == "systemd" && !usable.ok()) {
    return Annotate(usable, "the cgroup driver systemd cannot be used");
  }
  if (options.cgroup_driver == "auto" && !usable.ok()) {
    LOG_INFO("the cgroup driver is cgroupfs: {}", std::string(usable.message()));
  }
  ASSIGN_OR_RETURN(const bool moved, MakeRoomInCgroupRoot(*cgroups));
  if (moved) LOG_INFO("the processes of the root cgroup were moved into /{}", kCgroupOfInit);
  return absl::OkStatus();
}

absl::StatusOr<std::string> PodState::CgroupPathOf(const v1::PodSandboxConfig& pod,
                                                   std::string_view pod_id,
                                                   std::string_view container_id,
                                                   bool native) const {
  if (!systemd_cgroups) return CgroupPath(pod, pod_id, container_id);
  ASSIGN_OR_RETURN(std::string scope, ScopePath(pod, pod_id, container_id));
  return native ? scope : JoinPath(scope, kInside);
}

absl::Status PodState::OpenScope(const ContainerEntry& container, const Call& call) {
  const ContainerRecord record = container.record.Get();
  const std::string scope = ScopeOf(record->cgroup_path());
  if (scope.empty()) return absl::OkStatus();
  ScopeRequest request;
  request.name = BaseName(scope);
  request.slice = BaseName(FolderOf(scope));
  request.description = Cat("Container ", record->config().metadata().name(), " of crisp");
  ASSIGN_OR_RETURN(request.resources, ResourcesOf(paths.Bundle(record->pod_id(), record->id())));
  RETURN_IF_ERROR(monitor_error);
  ASSIGN_OR_RETURN(request.pid, monitor_program->StartHolder(call));
  const UniqueFd holder(pidfd_open(request.pid, 0));
  if (!holder.valid()) return ErrnoStatus("pidfd_open for the holder of ", request.name);
  absl::Cleanup undo = [&] { (void)pidfd_send_signal(holder.get(), SIGKILL, nullptr, 0); };
  request.pidfd = holder.get();
  RETURN_IF_ERROR(StartScope(request));
  // Beside the container's processes, not among them: the scope stays free to hand controllers
  // down.
  const std::string folder = Cat(cgroups->Unified()->folder, scope, "/", kHolder);
  if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST)
    return ErrnoStatus("make cgroup ", folder);
  RETURN_IF_ERROR(WriteExisting(JoinPath(folder, "cgroup.procs"), Cat(request.pid)));
  std::move(undo).Cancel();
  return absl::OkStatus();
}

absl::Status PodState::SetScopeLimits(const record::Container& container,
                                      const Json& resources) const {
  const std::string scope = ScopeOf(container.cgroup_path());
  return scope.empty() ? absl::OkStatus() : SetScopeResources(BaseName(scope), resources);
}

std::string PodState::OwnPodCgroup(std::string_view pod_id) const {
  if (!systemd_cgroups) return Cat("/crisp/", pod_id);
  return Cat("/crisp.slice/crisp-", pod_id, ".slice");
}

void PodState::CloseUnit(const std::string& name) {
  if (const absl::Status status = StopUnit(name); !status.ok()) LOG_WARN("{}", status.ToString());
}

std::string ScopeOf(std::string_view cgroup_path) {
  const std::string path =
      BaseName(cgroup_path) == kInside ? FolderOf(cgroup_path) : std::string(cgroup_path);
  return path.ends_with(".scope") ? path : "";
}

}  // namespace crisp
