// The OCI configuration (config.json) of a container, built from what CRI asks for, what the image
// says and what the pod has. Everything that can be refused is refused here, before anything is
// made: InvalidArgument names the field. Any thread; reads passwd texts, device nodes and
// mountinfo, and makes missing host folders of mounts, nothing else.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/cri.pb.h"
#include "base/json.h"
#include "kernel/terminal.h"
#include "kernel/user_namespace.h"
#include "oci/daemon_limits.h"
#include "oci/image_config.h"
#include "oci/seccomp_cache.h"
#include "oci/signal.h"

namespace crisp {

// What the container finds in its pod. An empty path means the host's.
struct PodFacts {
  std::string pod_id;
  std::string netns_path;
  std::string ipc_path;
  std::string uts_path;
  // The pod's user namespace and its maps; the host's if empty.
  std::string user_path;
  IdMaps id_maps;
  std::string selinux_level;  // of the pod; empty without SELinux
  bool host_pids = false;     // the container sees the host's processes
  // PID namespace of the pod's init ("/proc/<pid>/ns/pid"), for NamespaceMode POD.
  std::string pid_ns_path;
  std::string shm_path;  // folder bound at /dev/shm; empty: the host's /dev/shm
  std::string resolv_conf_path;
  std::string hosts_path;
  std::string hostname_path;
  std::string hostname;  // for HOSTNAME
};

// A folder of the host that backs a VOLUME of the image.
struct VolumeMount {
  std::string host_path;
  std::string container_path;
};

struct ContainerFacts {
  std::string id;
  std::string cgroup_path;    // from CgroupPath()
  std::string target_pid_ns;  // "/proc/<pid>/ns/pid", for NamespaceMode TARGET
  std::string rootfs = "rootfs";
  std::vector<VolumeMount> image_volumes;
  // Where an image that is mounted as a volume (Mount.image) lies on the host, by container_path.
  std::map<std::string, std::string> image_mounts;
  std::vector<std::string> cdi_folders;  // of CDI specifications; a later one wins
  // Put the seccomp rules into config.json too, for OCI runtimes that compile them themselves. The
  // native launcher takes seccomp_bpf_path, and a config.json without them is parsed faster.
  bool seccomp_in_config = false;
};

struct BuiltSpec {
  Json config;                                     // config.json, OCI 1.0.2
  runtime::v1::ContainerUser user;                 // for ContainerStatus
  runtime::v1::LinuxContainerResources resources;  // effective
  StopSignal stop_signal;
  std::string seccomp_bpf_path;  // empty: unconfined
};

absl::StatusOr<BuiltSpec> BuildSpec(const runtime::v1::PodSandboxConfig& pod,
                                    const runtime::v1::ContainerConfig& container,
                                    const ImageConfig& image, const PodFacts& pod_facts,
                                    const ContainerFacts& facts, const DaemonLimits& limits,
                                    SeccompCache& seccomp);

// The OCI process object of an exec: config_process (config.json's "process") with another command,
// and a terminal of this size (zeros: not known yet) or none. InvalidArgument if cmd is empty.
absl::StatusOr<Json> BuildExecProcess(const Json& config_process,
                                      const std::vector<std::string>& cmd,
                                      const std::optional<TerminalSize>& terminal);

// OCI linux.resources (without devices) from CRI's; also for UpdateContainerResources. A zero field
// is left out.
absl::StatusOr<Json> BuildResources(const runtime::v1::LinuxContainerResources& resources,
                                    const DaemonLimits& limits);

// What is in force once `asked` with its OCI form `built` is applied, for ContainerStatus: shares
// as clamped, the swap limit that follows from the memory limit, the kernel's period beside a
// quota.
runtime::v1::LinuxContainerResources EffectiveResources(
    const runtime::v1::LinuxContainerResources& asked, const Json& built);

// --- resource_update.cc: UpdateContainerResources ---
// The resources after the update: what it sets goes in place of what was there, a zero field, an
// absent page size and an absent file of `unified` change nothing. A new memory limit without a
// swap limit beside it means no swap. oom_score_adj stays: a live process keeps its own.
runtime::v1::LinuxContainerResources MergeResources(
    const runtime::v1::LinuxContainerResources& before,
    const runtime::v1::LinuxContainerResources& update);
// Those parts of `merged` that the update speaks of: what is to be written to a live cgroup.
runtime::v1::LinuxContainerResources AskedPart(const runtime::v1::LinuxContainerResources& update,
                                               const runtime::v1::LinuxContainerResources& merged);
// Puts the limits of BuildResources into a config.json in place of those that it has; devices and
// whatever else is there stays. InvalidArgument if it is no config.json.
absl::Status ReplaceLimits(Json& config, const Json& built);

// The image's VOLUMEs that need a folder: those that no mount of the container covers.
std::vector<std::string> UncoveredVolumes(const runtime::v1::ContainerConfig& container,
                                          const ImageConfig& image);

// linux.cgroupsPath of a container, cgroupfs style: "<parent>/<id>", or "/crisp/<pod id>/<id>" if
// the pod names no parent. The parent is cleaned, so it cannot climb out.
absl::StatusOr<std::string> CgroupPath(const runtime::v1::PodSandboxConfig& pod,
                                       std::string_view pod_id, std::string_view container_id);

// Everything that needs no host state. ValidateContainerConfig also holds the container against its
// pod (privileged, namespaces).
absl::Status ValidatePodConfig(const runtime::v1::PodSandboxConfig& pod);
absl::Status ValidateContainerConfig(const runtime::v1::PodSandboxConfig& pod,
                                     const runtime::v1::ContainerConfig& container);

// Compiles the default seccomp profile for a container that asks for nothing special, so that the
// first one need not wait for it.
absl::Status PrepareDefaultSeccomp(const DaemonLimits& limits, SeccompCache& seccomp);

}  // namespace crisp
