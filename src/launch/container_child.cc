#include "launch/container_child.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "kernel/mount.h"
#include "launch/container_mounts.h"
#include "launch/devices.h"
#include "launch/hidden_paths.h"
#include "launch/hooks.h"
#include "launch/json_list.h"
#include "launch/kernel_settings.h"
#include "launch/process_setup.h"
#include "launch/rootfs.h"
#include "launch/seccomp_filter.h"
#include "launch/user_mapping.h"

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

// The number of this process in the host's PID namespace.
pid_t HostPid(int proc_fd) {
  char number[16] = {};
  return ::readlinkat(proc_fd, "self", number, sizeof number - 1) > 0 ? std::atoi(number) : 0;
}

}  // namespace

absl::Status ContainerChild::Prepare(const std::string& config_text, int user_namespace_fd) {
  ASSIGN_OR_RETURN(config_, ParseJson(config_text, "config.json"));
  RETURN_IF_ERROR(CheckHooks(config_));
  ASSIGN_OR_RETURN(filter_, SeccompFilter::Read(request_.seccomp_bpf,
                                                ObjectOf(ObjectOf(config_, "linux"), "seccomp")));
  ASSIGN_OR_RETURN(proc_, OpenHostProc());
  RETURN_IF_ERROR(WriteOomScore(proc_.get(), ObjectOf(config_, "process")));
  RETURN_IF_ERROR(JoinCgroup());
  RETURN_IF_ERROR(OpenNamespaces());
  return user_namespace_fd < 0 ? absl::OkStatus() : PrepareUserNamespace(user_namespace_fd);
}

// Within the user namespace no source could be taken whose folders are closed to others, no overlay
// made whose layers hold the host's extended attributes, and nothing be given away.
absl::Status ContainerChild::PrepareUserNamespace(int user_namespace_fd) {
  ASSIGN_OR_RETURN(const IdMaps maps, ParseIdMaps(ObjectOf(config_, "linux")));
  if (maps.empty()) {
    return absl::InvalidArgumentError(
        "config.json: linux.uidMappings is missing beside the user namespace");
  }
  mapped_ = true;
  GiveToRoot(request_.io, maps);
  GiveToRoot(tree_, cgroup_, maps);
  ASSIGN_OR_RETURN(mounts_, ContainerMounts::Plan(config_, request_.bundle, tree_, cgroup_.path()));
  mounts_.UseUserNamespace(user_namespace_fd, maps);
  RETURN_IF_ERROR(mounts_.TakeSharedSources());
  RETURN_IF_ERROR(CutOffMounts());
  RETURN_IF_ERROR(mounts_.TakeSources());
  ASSIGN_OR_RETURN(root_,
                   TakeMappedRoot(request_.rootfs, request_.bundle, config_, user_namespace_fd));
  return absl::OkStatus();
}

absl::Status ContainerChild::Run(OutcomeChannel& outcome) {
  RETURN_IF_ERROR(JoinNamespaces());
  RETURN_IF_ERROR(NameHost());
  RETURN_IF_ERROR(WriteSysctls(proc_.get(), config_, namespaces_));
  ProcessSetup setup(ObjectOf(config_, "process"), request_.io, request_.container_id, outcome);
  const HookState state{request_.container_id, request_.bundle, HostPid(proc_.get())};
  ASSIGN_OR_RETURN(const UniqueFd root, BuildRoot(setup));
  JoinKeyring(request_.container_id);
  RETURN_IF_ERROR(RunHooks(config_, "createContainer", state));
  RETURN_IF_ERROR(EnterRoot(root.get(), config_));
  if (HasHooks(config_, "startContainer")) {
    setup.BeforeProgram([&] { return RunHooks(config_, "startContainer", state); });
  }
  return setup.Run(root.get(), proc_.get(), filter_, /*make_cwd=*/true);
}

absl::Status ContainerChild::JoinCgroup() {
  if (cgroup_.path() == "/") return absl::OkStatus();
  RETURN_IF_ERROR(cgroup_.Apply(ObjectOf(ObjectOf(config_, "linux"), "resources")));
  return cgroup_.JoinSelf(in_v2_);
}

absl::Status ContainerChild::OpenNamespaces() {
  for (const NamespacePlan::Join& one : namespaces_.join) {
    absl::StatusOr<UniqueFd> fd = OpenFile(one.path, O_RDONLY);
    if (!fd.ok()) return Annotate(fd.status(), "namespace to join");
    joined_.push_back(*std::move(fd));
  }
  return absl::OkStatus();
}

absl::Status ContainerChild::JoinNamespaces() {
  for (size_t i = 0; i < joined_.size(); ++i) {
    const NamespacePlan::Join& one = namespaces_.join[i];
    if (::setns(joined_[i].get(), one.flag) != 0) {
      return ErrnoStatus("joining the namespace ", one.path);
    }
  }
  if (namespaces_.create_cgroup && ::unshare(CLONE_NEWCGROUP) != 0) {
    return ErrnoStatus("making a cgroup namespace");
  }
  return absl::OkStatus();
}

absl::Status ContainerChild::NameHost() const {
  const std::string host = JsonString(config_, "hostname");
  const std::string domain = JsonString(config_, "domainname");
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

// The root, attached in this process's mount namespace; with a user namespace this process is its
// root from here on.
absl::StatusOr<UniqueFd> ContainerChild::AttachContainerRoot() {
  if (mapped_) {
    RETURN_IF_ERROR(CutOffMounts());
    ASSIGN_OR_RETURN(const std::string path, RootTarget(request_.rootfs, request_.bundle, config_));
    ASSIGN_OR_RETURN(const UniqueFd target, OpenFile(path, O_PATH | O_DIRECTORY));
    RETURN_IF_ERROR(AttachMount(root_.get(), target.get(), path));
    RETURN_IF_ERROR(BecomeMappedRoot());
    return std::move(root_);
  }
  ASSIGN_OR_RETURN(mounts_, ContainerMounts::Plan(config_, request_.bundle, tree_, cgroup_.path()));
  RETURN_IF_ERROR(mounts_.TakeSharedSources());
  RETURN_IF_ERROR(CutOffMounts());
  RETURN_IF_ERROR(mounts_.TakeSources());
  return AttachRoot(request_.rootfs, request_.bundle, config_);
}

absl::StatusOr<UniqueFd> ContainerChild::BuildRoot(ProcessSetup& setup) {
  ASSIGN_OR_RETURN(UniqueFd root, AttachContainerRoot());
  RETURN_IF_ERROR(mounts_.Attach(root.get()));
  // A folder of the host that is bound over /dev has its devices, and they are the host's.
  if (!mounts_.BindsDev()) RETURN_IF_ERROR(MakeDevices(root.get(), config_));
  RETURN_IF_ERROR(setup.PrepareStreams(root.get(), /*console=*/!mounts_.BindsDev()));
  RETURN_IF_ERROR(HidePaths(root.get(), config_));
  RETURN_IF_ERROR(mounts_.SealReadOnly());
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
  ASSIGN_OR_RETURN(const IdMaps maps, IdMapsOf(proc.get(), request.container_pidfd));
  if (!maps.empty()) GiveToRoot(request.io, maps);
  const int namespaces = kEveryNamespace | (maps.empty() ? 0 : CLONE_NEWUSER);
  if (::setns(request.container_pidfd, namespaces) != 0) {
    if (errno == ESRCH) return absl::FailedPreconditionError("the container no longer runs");
    return ErrnoStatus("joining the container's namespaces");
  }
  if (!maps.empty()) RETURN_IF_ERROR(BecomeMappedRoot());
  JoinKeyring(request.container_id);
  ASSIGN_OR_RETURN(const UniqueFd root, OpenFile("/", O_PATH | O_DIRECTORY));
  ProcessSetup setup(process, request.io, request.container_id, outcome);
  RETURN_IF_ERROR(setup.PrepareStreams(root.get(), /*console=*/false));
  return setup.Run(root.get(), proc.get(), filter, /*make_cwd=*/false);
}

}  // namespace crisp
