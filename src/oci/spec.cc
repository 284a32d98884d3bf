#include "oci/spec.h"

#include <algorithm>

#include "base/file.h"
#include "base/status.h"
#include "oci/apparmor.h"
#include "oci/capabilities.h"
#include "oci/cdi.h"
#include "oci/devices.h"
#include "oci/mounts.h"
#include "oci/process.h"
#include "oci/seccomp_profile.h"
#include "oci/selinux.h"
#include "oci/validate.h"

namespace crisp {
namespace {

namespace v1 = ::runtime::v1;

// What a sandboxed runtime (RuntimeClass) reads; nothing that a user wrote gets in here.
Json Annotations(const v1::PodSandboxConfig& pod, const v1::ContainerConfig& container,
                 const PodFacts& pod_facts) {
  const std::string& image = container.image().user_specified_image().empty()
                                 ? container.image().image()
                                 : container.image().user_specified_image();
  return {{"io.kubernetes.cri.container-type", "container"},
          {"io.kubernetes.cri.sandbox-id", pod_facts.pod_id},
          {"io.kubernetes.cri.sandbox-name", pod.metadata().name()},
          {"io.kubernetes.cri.sandbox-namespace", pod.metadata().namespace_()},
          {"io.kubernetes.cri.sandbox-uid", pod.metadata().uid()},
          {"io.kubernetes.cri.container-name", container.metadata().name()},
          {"io.kubernetes.cri.image-name", image}};
}

absl::StatusOr<Json> Namespaces(const v1::NamespaceOption& options, bool privileged,
                                const PodFacts& pod_facts, const ContainerFacts& facts,
                                const DaemonLimits& limits) {
  Json namespaces = Json::array({{{"type", "mount"}}});
  const auto join = [&](const char* type, const std::string& path) {
    if (!path.empty()) namespaces.push_back({{"type", type}, {"path", path}});
  };
  join("user", pod_facts.user_path);
  join("network", pod_facts.netns_path);
  join("ipc", pod_facts.ipc_path);
  join("uts", pod_facts.uts_path);
  switch (options.pid()) {
    case v1::NODE:
      break;
    case v1::CONTAINER:
      namespaces.push_back({{"type", "pid"}});
      break;
    case v1::TARGET:
      if (facts.target_pid_ns.empty()) {
        return absl::InvalidArgumentError(
            Cat("linux.security_context.namespace_options.target_id: container ",
                options.target_id(), " does not run in this pod"));
      }
      join("pid", facts.target_pid_ns);
      break;
    default:
      if (pod_facts.pid_ns_path.empty()) {
        return absl::InvalidArgumentError(
            "linux.security_context.namespace_options.pid is POD, but the pod was made without a "
            "PID namespace of its own");
      }
      join("pid", pod_facts.pid_ns_path);
  }
  if (limits.cgroup_v2 && !privileged) namespaces.push_back({{"type", "cgroup"}});
  return namespaces;
}

absl::StatusOr<std::shared_ptr<const SeccompCache::Filter>> Seccomp(
    const v1::LinuxContainerSecurityContext& context, const std::set<std::string>& capabilities,
    SeccompCache& cache) {
  ASSIGN_OR_RETURN(const ProfileChoice choice, SeccompChoice(context));
  switch (choice.kind) {
    case ProfileChoice::kUnconfined:
      return std::shared_ptr<const SeccompCache::Filter>();
    case ProfileChoice::kRuntimeDefault:
      return cache.Get(DefaultSeccompProfile(), "runtime/default", capabilities);
    case ProfileChoice::kLocalhost:
      break;
  }
  const absl::StatusOr<std::string> text = ReadFile(choice.reference, 1 << 20);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        Cat("linux.security_context.seccomp: the localhost profile cannot be read: ",
            FromAbsl(text.status().message())));
  }
  return cache.Get(*text, choice.reference, capabilities);
}

bool IsSet(const v1::SELinuxOption& options) {
  return !options.user().empty() || !options.role().empty() || !options.type().empty() ||
         !options.level().empty();
}

// What the security modules shall know the process and its files by; without SELinux its options
// mean nothing, as with every other runtime. Volumes are labelled here.
absl::Status AddLabels(const v1::PodSandboxConfig& pod, const v1::ContainerConfig& container,
                       const PodFacts& pod_facts, const DaemonLimits& limits, Json* process,
                       Json* linux_part) {
  const v1::LinuxContainerSecurityContext& context = container.linux().security_context();
  ASSIGN_OR_RETURN(const std::string profile, EffectiveAppArmorProfile(context, limits));
  if (!profile.empty()) (*process)["apparmorProfile"] = profile;
  if (!limits.selinux) return absl::OkStatus();
  const v1::SELinuxOption& own = context.selinux_options();
  const SelinuxLabels labels = BuildSelinuxLabels(
      IsSet(own) ? own : pod.linux().security_context().selinux_options(), pod_facts.selinux_level);
  if (!context.privileged()) (*process)["selinuxLabel"] = labels.process;
  (*linux_part)["mountLabel"] = labels.mount;
  for (const v1::Mount& mount : container.mounts()) {
    if (mount.selinux_relabel() && !mount.host_path().empty() && PathExists(mount.host_path())) {
      RETURN_IF_ERROR(Annotate(Relabel(mount.host_path(), labels.mount),
                               Cat("mounts: ", mount.container_path())));
    }
  }
  return absl::OkStatus();
}

v1::ContainerUser StatusUser(const User& user) {
  v1::ContainerUser status;
  status.mutable_linux()->set_uid(user.uid);
  status.mutable_linux()->set_gid(user.gid);
  for (const uint32_t group : user.groups) status.mutable_linux()->add_supplemental_groups(group);
  return status;
}

void AddGroup(uint32_t gid, v1::ContainerUser* user) {
  auto* groups = user->mutable_linux()->mutable_supplemental_groups();
  const auto place = std::lower_bound(groups->begin(), groups->end(), int64_t{gid});
  if (place != groups->end() && *place == gid) return;
  groups->Add(gid);
  std::sort(groups->begin(), groups->end());
}

Json Strings(const google::protobuf::RepeatedPtrField<std::string>& list) {
  return std::vector<std::string>(list.begin(), list.end());
}

absl::StatusOr<Json> BuildLinux(const v1::PodSandboxConfig& pod,
                                const v1::ContainerConfig& container, const PodFacts& pod_facts,
                                const ContainerFacts& facts, const DaemonLimits& limits,
                                ContainerDevices& devices) {
  const v1::LinuxContainerSecurityContext& context = container.linux().security_context();
  ASSIGN_OR_RETURN(Json resources, BuildResources(container.linux().resources(), limits));
  ASSIGN_OR_RETURN(devices, BuildDevices(container));
  ASSIGN_OR_RETURN(Json namespaces, Namespaces(NamespacesOf(pod, container), context.privileged(),
                                               pod_facts, facts, limits));
  resources["devices"] = std::move(devices.rules);
  Json result = {{"resources", std::move(resources)},
                 {"cgroupsPath", facts.cgroup_path},
                 {"namespaces", std::move(namespaces)}};
  if (!pod_facts.id_maps.empty()) {
    AddIdMaps(pod_facts.id_maps, &result);
  } else {
    if (!devices.nodes.empty()) result["devices"] = std::move(devices.nodes);
    devices.mounts.clear();
  }
  if (!context.privileged()) {
    for (const auto* list : {&context.masked_paths(), &context.readonly_paths()}) {
      for (const std::string& path : *list) {
        if (path.empty() || path.front() != '/' || path.find('\0') != std::string::npos) {
          return absl::InvalidArgumentError(
              Cat("linux.security_context: masked or read-only path \"", path.substr(0, 256),
                  "\" is not absolute"));
        }
      }
    }
    result["maskedPaths"] = Strings(context.masked_paths());
    result["readonlyPaths"] = Strings(context.readonly_paths());
  }
  return result;
}

}  // namespace

absl::StatusOr<BuiltSpec> BuildSpec(const v1::PodSandboxConfig& pod,
                                    const v1::ContainerConfig& container, const ImageConfig& image,
                                    const PodFacts& pod_facts, const ContainerFacts& facts,
                                    const DaemonLimits& limits, SeccompCache& seccomp) {
  RETURN_IF_ERROR(ValidateContainerConfig(pod, container));
  const v1::LinuxContainerSecurityContext& context = container.linux().security_context();
  BuiltSpec spec;
  ASSIGN_OR_RETURN(spec.stop_signal,
                   EffectiveStopSignal(container.stop_signal(), image.stop_signal));
  ASSIGN_OR_RETURN(const User user, BuildUser(container, image));
  spec.user = StatusUser(user);
  std::set<std::string> capabilities;
  const std::string& hostname = pod_facts.hostname.empty() ? limits.hostname : pod_facts.hostname;
  ASSIGN_OR_RETURN(Json process,
                   BuildProcess(container, image, hostname, user, limits, &capabilities));
  ContainerDevices devices;
  ASSIGN_OR_RETURN(Json linux_part, BuildLinux(pod, container, pod_facts, facts, limits, devices));
  ASSIGN_OR_RETURN(const std::shared_ptr<const SeccompCache::Filter> filter,
                   Seccomp(context, capabilities, seccomp));
  if (filter != nullptr) {
    spec.seccomp_bpf_path = filter->bpf_path;
    if (facts.seccomp_in_config) linux_part["seccomp"] = filter->oci;
  }
  spec.resources = EffectiveResources(container.linux().resources(), linux_part["resources"]);
  spec.resources.set_oom_score_adj(JsonInt(process, "oomScoreAdj"));
  // Last, because it may make folders on the host.
  ASSIGN_OR_RETURN(ContainerMounts mounts,
                   BuildMounts(container, pod_facts, facts, limits, devices.mounts));
  if (!mounts.rootfs_propagation.empty()) {
    linux_part["rootfsPropagation"] = mounts.rootfs_propagation;
  }
  RETURN_IF_ERROR(AddLabels(pod, container, pod_facts, limits, &process, &linux_part));
  spec.config = {{"ociVersion", "1.0.2"},
                 {"process", std::move(process)},
                 {"root", {{"path", facts.rootfs}, {"readonly", context.readonly_rootfs()}}},
                 {"mounts", std::move(mounts.mounts)},
                 {"annotations", Annotations(pod, container, pod_facts)},
                 {"linux", std::move(linux_part)}};
  ASSIGN_OR_RETURN(const std::vector<std::string> cdi_names, CdiNames(container));
  if (!cdi_names.empty()) {
    ASSIGN_OR_RETURN(const CdiEdits edits, ResolveCdi(cdi_names, facts.cdi_folders));
    RETURN_IF_ERROR(ApplyCdi(edits, !pod_facts.id_maps.empty(), &spec.config));
    // The pod's status tells the groups that the process has.
    for (const uint32_t gid : edits.gids) AddGroup(gid, &spec.user);
  }
  return spec;
}

absl::Status PrepareDefaultSeccomp(const DaemonLimits& limits, SeccompCache& seccomp) {
  ASSIGN_OR_RETURN(const CapabilitySets sets,
                   BuildCapabilities({}, false, limits.bounding_capabilities));
  return seccomp.Get(DefaultSeccompProfile(), "runtime/default", sets.bounding).status();
}

std::vector<std::string> UncoveredVolumes(const v1::ContainerConfig& container,
                                          const ImageConfig& image) {
  std::vector<std::string> uncovered;
  for (const std::string& volume : image.volumes) {
    const std::string path = CleanPath(Cat("/", volume));
    // The root as a volume would hide the image itself.
    if (path == "/") continue;
    const bool covered = std::any_of(container.mounts().begin(), container.mounts().end(),
                                     [&](const v1::Mount& mount) {
                                       return CleanPath(Cat("/", mount.container_path())) == path;
                                     });
    if (!covered && std::find(uncovered.begin(), uncovered.end(), path) == uncovered.end()) {
      uncovered.push_back(path);
    }
  }
  return uncovered;
}

}  // namespace crisp
