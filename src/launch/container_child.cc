#include "launch/container_child.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "launch/container_mounts.h"
#include "launch/devices.h"
#include "launch/hidden_paths.h"
#include "launch/json_list.h"
#include "launch/kernel_settings.h"
#include "launch/process_setup.h"
#include "launch/rootfs.h"
#include "launch/seccomp_filter.h"

namespace crisp {
namespace {

constexpr int kEveryNamespace =
    CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;

// The daemon's session keyring is none of the container's business. Where keys are forbidden or
// used up, there is nothing to hide either.
void JoinKeyring(const std::string& container_id) {
  constexpr int kJoinSessionKeyring = 1;
  ::syscall(SYS_keyctl, kJoinSessionKeyring, Cat("_ses.", container_id).c_str());
}

absl::Status CheckSupported(const Json& config) {
  const Json& process = ObjectOf(config, "process");
  for (const char* key : {"apparmorProfile", "selinuxLabel"}) {
    if (!JsonString(process, key).empty()) {
      return absl::UnimplementedError(Cat("process.", key, " is not supported"));
    }
  }
  for (const auto& [name, list] : ObjectOf(config, "hooks").items()) {
    if (!list.empty()) return absl::UnimplementedError(Cat("hooks.", name, " is not supported"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ContainerChild::Run(const std::string& config_text) {
  ASSIGN_OR_RETURN(const Json config, ParseJson(config_text, "config.json"));
  RETURN_IF_ERROR(CheckSupported(config));
  const Json& process = ObjectOf(config, "process");
  ASSIGN_OR_RETURN(
      const SeccompFilter filter,
      SeccompFilter::Read(request_.seccomp_bpf, ObjectOf(ObjectOf(config, "linux"), "seccomp")));
  ASSIGN_OR_RETURN(const UniqueFd proc, OpenHostProc());
  RETURN_IF_ERROR(WriteOomScore(proc.get(), process));
  RETURN_IF_ERROR(JoinCgroup(config));
  RETURN_IF_ERROR(JoinNamespaces());
  RETURN_IF_ERROR(NameHost(config));
  RETURN_IF_ERROR(WriteSysctls(proc.get(), config, namespaces_));
  JoinKeyring(request_.container_id);

  ProcessSetup setup(process, request_.io, request_.container_id, outcome_);
  ASSIGN_OR_RETURN(const UniqueFd root, BuildRoot(config, setup));
  RETURN_IF_ERROR(EnterRoot(root.get(), config));
  return setup.Run(root.get(), filter, /*make_cwd=*/true);
}

absl::Status ContainerChild::JoinCgroup(const Json& config) {
  if (cgroup_.path() == "/") return absl::OkStatus();
  RETURN_IF_ERROR(cgroup_.Apply(ObjectOf(ObjectOf(config, "linux"), "resources")));
  return cgroup_.JoinSelf(in_v2_);
}

absl::Status ContainerChild::JoinNamespaces() {
  for (const NamespacePlan::Join& one : namespaces_.join) {
    absl::StatusOr<UniqueFd> fd = OpenFile(one.path, O_RDONLY);
    if (!fd.ok()) return Annotate(fd.status(), "namespace to join");
    if (::setns(fd->get(), one.flag) != 0) return ErrnoStatus("joining the namespace ", one.path);
  }
  if (namespaces_.create_cgroup && ::unshare(CLONE_NEWCGROUP) != 0) {
    return ErrnoStatus("making a cgroup namespace");
  }
  return absl::OkStatus();
}

absl::Status ContainerChild::NameHost(const Json& config) const {
  const std::string host = JsonString(config, "hostname");
  const std::string domain = JsonString(config, "domainname");
  if (host.empty() && domain.empty()) return absl::OkStatus();
  if (!namespaces_.Has(CLONE_NEWUTS)) {
    return absl::InvalidArgumentError(
        "config.json: hostname is set, but the container shares the host's UTS namespace");
  }
  if (!host.empty() && ::sethostname(host.data(), host.size()) != 0) {
    return ErrnoStatus("setting the hostname \"", host, "\"");
  }
  if (!domain.empty() && ::setdomainname(domain.data(), domain.size()) != 0) {
    return ErrnoStatus("setting the domain name \"", domain, "\"");
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> ContainerChild::BuildRoot(const Json& config, ProcessSetup& setup) {
  ASSIGN_OR_RETURN(ContainerMounts mounts,
                   ContainerMounts::Plan(config, request_.bundle, tree_, cgroup_.path()));
  RETURN_IF_ERROR(mounts.TakeSharedSources());
  RETURN_IF_ERROR(CutOffMounts());
  RETURN_IF_ERROR(mounts.TakeSources());
  ASSIGN_OR_RETURN(UniqueFd root, AttachRoot(request_.rootfs, request_.bundle, config));
  RETURN_IF_ERROR(mounts.Attach(root.get()));
  // A folder of the host that is bound over /dev has its devices, and they are the host's.
  if (!mounts.BindsDev()) RETURN_IF_ERROR(MakeDevices(root.get(), config));
  RETURN_IF_ERROR(setup.PrepareStreams(root.get(), /*console=*/!mounts.BindsDev()));
  RETURN_IF_ERROR(HidePaths(root.get(), config));
  RETURN_IF_ERROR(mounts.SealReadOnly());
  return root;
}

absl::Status RunExecChild(const ExecRequest& request, const Cgroup& cgroup, bool in_v2,
                          OutcomeChannel& outcome) {
  ASSIGN_OR_RETURN(const Json process, ParseJson(request.process_json, "the exec's process"));
  ASSIGN_OR_RETURN(const SeccompFilter filter,
                   SeccompFilter::Read(request.seccomp_bpf, Json::object()));
  ASSIGN_OR_RETURN(const UniqueFd proc, OpenHostProc());
  RETURN_IF_ERROR(WriteOomScore(proc.get(), process));
  if (cgroup.path() != "/") RETURN_IF_ERROR(cgroup.JoinSelf(in_v2));
  if (::setns(request.container_pidfd, kEveryNamespace) != 0) {
    if (errno == ESRCH) return absl::FailedPreconditionError("the container no longer runs");
    return ErrnoStatus("joining the container's namespaces");
  }
  JoinKeyring(request.container_id);
  ASSIGN_OR_RETURN(const UniqueFd root, OpenFile("/", O_PATH | O_DIRECTORY));
  ProcessSetup setup(process, request.io, request.container_id, outcome);
  RETURN_IF_ERROR(setup.PrepareStreams(root.get(), /*console=*/false));
  return setup.Run(root.get(), filter, /*make_cwd=*/false);
}

}  // namespace crisp
