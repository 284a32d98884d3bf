#include "oci/validate.h"

#include "base/file.h"
#include "base/status.h"
#include "oci/devices.h"
#include "oci/mounts.h"
#include "oci/selinux.h"
#include "oci/spec.h"
#include "oci/sysctl.h"

namespace crisp {
namespace {

namespace v1 = ::runtime::v1;

absl::Status Refuse(std::string_view field, std::string_view why) {
  return absl::InvalidArgumentError(Cat(field, " ", why));
}

bool IsPlainLine(std::string_view text) {
  for (const char letter : text) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) return false;
  }
  return true;
}

bool IsHostname(std::string_view name) {
  if (name.size() > 64) return false;
  for (const char letter : name) {
    if (!isalnum(static_cast<unsigned char>(letter)) && letter != '-' && letter != '.' &&
        letter != '_') {
      return false;
    }
  }
  return true;
}

// A relative path that stays below its folder.
bool StaysBelow(std::string_view path) {
  for (const std::string_view part : Split(path, '/')) {
    if (part == "..") return false;
  }
  return path.find('\0') == std::string_view::npos;
}

absl::Status CheckIdMappings(const google::protobuf::RepeatedPtrField<v1::IDMapping>& mappings,
                             std::string_view field) {
  if (mappings.size() != 1) {
    return Refuse(field, Cat("must have exactly one range, not ", mappings.size()));
  }
  if (mappings[0].length() < 1) return Refuse(field, "has a range of length 0");
  if (mappings[0].container_id() != 0) return Refuse(field, "does not map the container's id 0");
  // The last id is the kernel's "none".
  if (uint64_t{mappings[0].host_id()} + mappings[0].length() > UINT32_MAX) {
    return Refuse(field, "has a range beyond the ids that Linux has");
  }
  return absl::OkStatus();
}

absl::Status CheckUserNamespace(const v1::NamespaceOption& options, std::string_view field) {
  if (!options.has_userns_options()) return absl::OkStatus();
  const v1::UserNamespace& userns = options.userns_options();
  switch (userns.mode()) {
    case v1::NODE:
      if (userns.uids_size() == 0 && userns.gids_size() == 0) return absl::OkStatus();
      return Refuse(field, "has id mappings in mode NODE");
    case v1::POD:
      RETURN_IF_ERROR(CheckIdMappings(userns.uids(), Cat(field, ".uids")));
      return CheckIdMappings(userns.gids(), Cat(field, ".gids"));
    default:
      return Refuse(field, Cat("has mode ", v1::NamespaceMode_Name(userns.mode()),
                               "; only POD and NODE are allowed"));
  }
}

// A container is in its pod's user namespace, whether it says so or not.
absl::Status CheckSameUserNamespace(const v1::NamespaceOption& pod,
                                    const v1::NamespaceOption& container, std::string_view field) {
  if (!container.has_userns_options()) return absl::OkStatus();
  const v1::UserNamespace& its = container.userns_options();
  const v1::UserNamespace& pods = pod.userns_options();
  const bool own = its.mode() == v1::POD;
  if (own != (pod.has_userns_options() && pods.mode() == v1::POD)) {
    return Refuse(field, "is not that of the pod");
  }
  if (!own) return absl::OkStatus();
  const auto same = [](const auto& a, const auto& b) {
    return a.host_id() == b.host_id() && a.container_id() == b.container_id() &&
           a.length() == b.length();
  };
  if (same(its.uids(0), pods.uids(0)) && same(its.gids(0), pods.gids(0))) return absl::OkStatus();
  return Refuse(field, "has other id mappings than the pod");
}

absl::Status CheckNamespaces(const v1::NamespaceOption& options, std::string_view field) {
  for (const auto& [name, mode] :
       {std::pair{"network", options.network()}, {"pid", options.pid()}, {"ipc", options.ipc()}}) {
    if (!v1::NamespaceMode_IsValid(mode)) return Refuse(Cat(field, ".", name), "is unknown");
    if (mode == v1::TARGET && std::string_view(name) != "pid") {
      return Refuse(Cat(field, ".", name), "cannot be TARGET");
    }
  }
  if (options.network() == v1::CONTAINER) {
    return Refuse(Cat(field, ".network"),
                  "cannot be CONTAINER: a pod's containers share a network");
  }
  if (options.ipc() == v1::CONTAINER) {
    return Refuse(Cat(field, ".ipc"), "cannot be CONTAINER: a pod's containers share IPC");
  }
  return CheckUserNamespace(options, Cat(field, ".userns_options"));
}

absl::Status CheckDns(const v1::DNSConfig& dns) {
  for (const auto* list : {&dns.servers(), &dns.searches(), &dns.options()}) {
    for (const std::string& entry : *list) {
      if (entry.empty() || entry.size() > 1024 || !IsPlainLine(entry)) {
        return Refuse("dns_config", "has an entry that is empty, too long or not one line");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPorts(const v1::PodSandboxConfig& pod) {
  for (const v1::PortMapping& port : pod.port_mappings()) {
    if (!v1::Protocol_IsValid(port.protocol())) {
      return Refuse("port_mappings", "has an unknown protocol");
    }
    if (port.host_port() < 0 || port.host_port() > 65535) {
      return Refuse("port_mappings", Cat("has the host port ", port.host_port()));
    }
    if (port.container_port() < (port.host_port() > 0 ? 1 : 0) || port.container_port() > 65535) {
      return Refuse("port_mappings", Cat("has the container port ", port.container_port()));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ProfileChoice> FromField(const v1::SecurityProfile& profile,
                                        std::string_view field) {
  switch (profile.profile_type()) {
    case v1::SecurityProfile::RuntimeDefault:
      return ProfileChoice{ProfileChoice::kRuntimeDefault, ""};
    case v1::SecurityProfile::Unconfined:
      return ProfileChoice{ProfileChoice::kUnconfined, ""};
    case v1::SecurityProfile::Localhost:
      break;
    default:
      return Refuse(field, "has an unknown profile_type");
  }
  std::string reference = profile.localhost_ref();
  if (reference.starts_with("localhost/")) reference.erase(0, 10);
  if (reference.empty()) return Refuse(field, "is Localhost without a localhost_ref");
  return ProfileChoice{ProfileChoice::kLocalhost, reference};
}

absl::StatusOr<ProfileChoice> FromText(const std::string& text, std::string_view field) {
  if (text.empty() || text == "unconfined") return ProfileChoice{};
  if (text == "runtime/default" || text == "docker/default") {
    return ProfileChoice{ProfileChoice::kRuntimeDefault, ""};
  }
  if (text.starts_with("localhost/") && text.size() > 10) {
    return ProfileChoice{ProfileChoice::kLocalhost, text.substr(10)};
  }
  return Refuse(field, Cat("\"", text.substr(0, 256),
                           "\" is none of unconfined, runtime/default, localhost/..."));
}

}  // namespace

// Clients of older versions still fill the deprecated fields.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

const v1::NamespaceOption& NamespacesOf(const v1::PodSandboxConfig& pod,
                                        const v1::ContainerConfig& container) {
  const v1::LinuxContainerSecurityContext& own = container.linux().security_context();
  return own.has_namespace_options() ? own.namespace_options()
                                     : pod.linux().security_context().namespace_options();
}

IdMaps UserNamespaceOf(const v1::PodSandboxConfig& pod) {
  const v1::NamespaceOption& options = pod.linux().security_context().namespace_options();
  IdMaps maps;
  if (!options.has_userns_options() || options.userns_options().mode() != v1::POD) return maps;
  const auto range = [](const v1::IDMapping& mapping) {
    return IdRange{mapping.container_id(), mapping.host_id(), mapping.length()};
  };
  for (const v1::IDMapping& uid : options.userns_options().uids()) maps.uids.push_back(range(uid));
  for (const v1::IDMapping& gid : options.userns_options().gids()) maps.gids.push_back(range(gid));
  return maps;
}

absl::StatusOr<ProfileChoice> SeccompChoice(const v1::LinuxContainerSecurityContext& context) {
  if (context.privileged()) return ProfileChoice{};
  if (!context.has_seccomp()) {
    return FromText(context.seccomp_profile_path(), "linux.security_context.seccomp_profile_path");
  }
  ASSIGN_OR_RETURN(ProfileChoice choice,
                   FromField(context.seccomp(), "linux.security_context.seccomp"));
  if (choice.kind == ProfileChoice::kLocalhost && choice.reference.front() != '/') {
    return Refuse("linux.security_context.seccomp.localhost_ref",
                  Cat("\"", choice.reference, "\" is no absolute path"));
  }
  return choice;
}

absl::StatusOr<ProfileChoice> AppArmorChoice(const v1::LinuxContainerSecurityContext& context) {
  if (context.privileged()) return ProfileChoice{};
  if (context.has_apparmor()) {
    return FromField(context.apparmor(), "linux.security_context.apparmor");
  }
  // Unlike seccomp, Kubernetes documents the default profile where nothing is said.
  if (context.apparmor_profile().empty()) return ProfileChoice{ProfileChoice::kRuntimeDefault, ""};
  return FromText(context.apparmor_profile(), "linux.security_context.apparmor_profile");
}

absl::Status ValidatePodConfig(const v1::PodSandboxConfig& pod) {
  if (!pod.has_metadata()) return Refuse("metadata", "is missing");
  const v1::PodSandboxMetadata& metadata = pod.metadata();
  for (const auto& [field, value] : {std::pair{"metadata.name", &metadata.name()},
                                     {"metadata.namespace", &metadata.namespace_()},
                                     {"metadata.uid", &metadata.uid()}}) {
    if (value->empty()) return Refuse(field, "is empty");
    if (!IsPlainLine(*value)) return Refuse(field, "holds control characters");
  }
  if (!IsHostname(pod.hostname())) {
    return Refuse("hostname", "must have at most 64 letters, digits, dots, dashes and underscores");
  }
  if (!pod.log_directory().empty() &&
      (pod.log_directory().front() != '/' || !StaysBelow(pod.log_directory()))) {
    return Refuse("log_directory", Cat("\"", pod.log_directory(), "\" is no plain absolute path"));
  }
  RETURN_IF_ERROR(CheckDns(pod.dns_config()));
  RETURN_IF_ERROR(CheckPorts(pod));
  const v1::NamespaceOption& namespaces = pod.linux().security_context().namespace_options();
  RETURN_IF_ERROR(CheckNamespaces(namespaces, "linux.security_context.namespace_options"));
  if (namespaces.pid() == v1::TARGET) {
    return Refuse("linux.security_context.namespace_options.pid", "of a pod cannot be TARGET");
  }
  RETURN_IF_ERROR(CheckSelinuxOptions(pod.linux().security_context().selinux_options(),
                                      "linux.security_context.selinux_options"));
  RETURN_IF_ERROR(BuildPodSysctls(pod).status());
  return CgroupPath(pod, "", "").status();
}

absl::Status ValidateContainerConfig(const v1::PodSandboxConfig& pod,
                                     const v1::ContainerConfig& container) {
  if (!container.has_metadata() || container.metadata().name().empty()) {
    return Refuse("metadata.name", "is empty");
  }
  if (!IsPlainLine(container.metadata().name())) {
    return Refuse("metadata.name", "holds control characters");
  }
  if (container.image().image().empty()) return Refuse("image.image", "is empty");
  if (container.log_path().starts_with('/') || !StaysBelow(container.log_path())) {
    return Refuse("log_path",
                  Cat("\"", container.log_path(), "\" leads out of the pod's log_directory"));
  }
  const v1::LinuxContainerSecurityContext& context = container.linux().security_context();
  if (context.privileged() && !pod.linux().security_context().privileged()) {
    return Refuse("linux.security_context.privileged", "is not allowed: the pod is not privileged");
  }
  const v1::NamespaceOption& namespaces = NamespacesOf(pod, container);
  RETURN_IF_ERROR(CheckNamespaces(namespaces, "linux.security_context.namespace_options"));
  RETURN_IF_ERROR(
      CheckSameUserNamespace(pod.linux().security_context().namespace_options(), namespaces,
                             "linux.security_context.namespace_options.userns_options"));
  if (namespaces.pid() == v1::TARGET && namespaces.target_id().empty()) {
    return Refuse("linux.security_context.namespace_options.target_id", "is empty");
  }
  if (context.has_run_as_group() && !context.has_run_as_user() &&
      context.run_as_username().empty()) {
    return Refuse("linux.security_context.run_as_group",
                  "needs run_as_user or run_as_username beside it");
  }
  RETURN_IF_ERROR(SeccompChoice(context).status());
  RETURN_IF_ERROR(AppArmorChoice(context).status());
  RETURN_IF_ERROR(
      CheckSelinuxOptions(context.selinux_options(), "linux.security_context.selinux_options"));
  if (container.stop_signal() != v1::SIGNAL_RUNTIME_DEFAULT) {
    RETURN_IF_ERROR(NumberOfCriSignal(container.stop_signal()).status());
  }
  RETURN_IF_ERROR(ValidateMounts(container));
  return ValidateDevices(container);
}

}  // namespace crisp
