// PodRuntime: the life of pods and containers, one method per CRI verb (facts: the CRI's own
// comments in api/cri.proto). Any thread may call any verb; those that wait honour the Call. Lists
// and statuses answer from immutable snapshots and never wait. Every method is in a file named
// after its verb. The Status that a verb returns carries the gRPC code for the client. An id may be
// any unique prefix; an ambiguous one is InvalidArgument.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/cri.pb.h"
#include "base/call.h"
#include "base/json.h"
#include "pod/runtime_handlers.h"

namespace crisp {

namespace v1 = ::runtime::v1;

class Database;
class EventHub;
class ImageStore;
class NetworkChoice;
class PodStreams;
class StreamBackend;
class StreamUrls;
struct PodState;

struct PodOptions {
  std::string root = "/var/lib/crisp";
  std::string state = "/run/crisp";
  std::string netns_dir =
      "/run/netns";  // where network namespaces are pinned, as "crisp-<first 32 of the pod's id>"
  std::string monitor_path;  // the program crisp-monitor
  std::string cgroup_root = "/sys/fs/cgroup";
  std::string cgroup_driver = "cgroupfs";  // or "systemd"; "auto": systemd where it can be used
  std::string seccomp_profile_root =
      "/var/lib/kubelet/seccomp";                // informative: localhost_ref is absolute
  std::vector<RuntimeHandler> runtime_handlers;  // besides "crisp" and "native"
  std::string default_runtime = "native";        // the handler of pods that name none
  std::vector<std::string> cdi_folders = {"/etc/cdi", "/var/run/cdi"};
  uint64_t log_line_max = 16384;  // content bytes of one line of a container's log
  uint64_t shm_bytes = 64 << 20;  // size of a pod's /dev/shm
  std::string criu = "criu";      // the program, or its name; "": no checkpoints
  bool restore_images = false;    // images that are checkpoints are restored
};

class PodRuntime {
 public:
  // Opens the tables, then recovers: rolls half-done work forward or back, finds the monitors that
  // still run, takes over the exits of the time in between and sweeps what no record names. One
  // damaged record is set aside, never an error. Everything borrowed outlives the PodRuntime.
  static absl::StatusOr<std::unique_ptr<PodRuntime>> Open(PodOptions options, Database& database,
                                                          ImageStore& images,
                                                          NetworkChoice& networks);
  // Leaves pods and containers running.
  ~PodRuntime();
  PodRuntime(const PodRuntime&) = delete;
  PodRuntime& operator=(const PodRuntime&) = delete;

  absl::StatusOr<v1::RunPodSandboxResponse> RunPodSandbox(const v1::RunPodSandboxRequest& request,
                                                          const Call& call);
  absl::StatusOr<v1::StopPodSandboxResponse> StopPodSandbox(
      const v1::StopPodSandboxRequest& request, const Call& call);
  absl::StatusOr<v1::RemovePodSandboxResponse> RemovePodSandbox(
      const v1::RemovePodSandboxRequest& request, const Call& call);
  absl::StatusOr<v1::PodSandboxStatusResponse> PodSandboxStatus(
      const v1::PodSandboxStatusRequest& request, const Call& call);
  absl::StatusOr<v1::ListPodSandboxResponse> ListPodSandbox(
      const v1::ListPodSandboxRequest& request, const Call& call);

  absl::StatusOr<v1::CreateContainerResponse> CreateContainer(
      const v1::CreateContainerRequest& request, const Call& call);
  absl::StatusOr<v1::StartContainerResponse> StartContainer(
      const v1::StartContainerRequest& request, const Call& call);
  absl::StatusOr<v1::StopContainerResponse> StopContainer(const v1::StopContainerRequest& request,
                                                          const Call& call);
  absl::StatusOr<v1::RemoveContainerResponse> RemoveContainer(
      const v1::RemoveContainerRequest& request, const Call& call);
  absl::StatusOr<v1::ContainerStatusResponse> ContainerStatus(
      const v1::ContainerStatusRequest& request, const Call& call);
  absl::StatusOr<v1::ListContainersResponse> ListContainers(
      const v1::ListContainersRequest& request, const Call& call);

  // docs/checkpoints.md. CreateContainer makes a container from a checkpoint, too, if its image is
  // the absolute path of an archive.
  absl::StatusOr<v1::CheckpointContainerResponse> CheckpointContainer(
      const v1::CheckpointContainerRequest& request, const Call& call);
  absl::StatusOr<v1::CheckpointPodResponse> CheckpointPod(const v1::CheckpointPodRequest& request,
                                                          const Call& call);
  absl::StatusOr<v1::RestorePodResponse> RestorePod(const v1::RestorePodRequest& request,
                                                    const Call& call);

  absl::StatusOr<v1::UpdateContainerResourcesResponse> UpdateContainerResources(
      const v1::UpdateContainerResourcesRequest& request, const Call& call);
  absl::StatusOr<v1::UpdatePodSandboxResourcesResponse> UpdatePodSandboxResources(
      const v1::UpdatePodSandboxResourcesRequest& request, const Call& call);
  absl::StatusOr<v1::UpdateRuntimeConfigResponse> UpdateRuntimeConfig(
      const v1::UpdateRuntimeConfigRequest& request, const Call& call);

  absl::StatusOr<v1::ExecSyncResponse> ExecSync(const v1::ExecSyncRequest& request,
                                                const Call& call);
  // Each answers with a URL of the streaming server, which then asks streams() to do it.
  absl::StatusOr<v1::ExecResponse> Exec(const v1::ExecRequest& request, StreamUrls& urls,
                                        const Call& call);
  absl::StatusOr<v1::AttachResponse> Attach(const v1::AttachRequest& request, StreamUrls& urls,
                                            const Call& call);
  absl::StatusOr<v1::PortForwardResponse> PortForward(const v1::PortForwardRequest& request,
                                                      StreamUrls& urls, const Call& call);
  absl::StatusOr<v1::ReopenContainerLogResponse> ReopenContainerLog(
      const v1::ReopenContainerLogRequest& request, const Call& call);

  // The same lists in messages of a bounded size, each item exactly once, no empty message. send
  // returns false when the client has gone.
  absl::Status StreamPodSandboxes(
      const v1::StreamPodSandboxesRequest& request,
      const std::function<bool(const v1::StreamPodSandboxesResponse&)>& send, const Call& call);
  absl::Status StreamContainers(
      const v1::StreamContainersRequest& request,
      const std::function<bool(const v1::StreamContainersResponse&)>& send, const Call& call);

  // Figures of what runs; what does not run has zeros, or no metrics. docs/stats.md.
  absl::StatusOr<v1::ContainerStatsResponse> ContainerStats(
      const v1::ContainerStatsRequest& request, const Call& call);
  absl::StatusOr<v1::ListContainerStatsResponse> ListContainerStats(
      const v1::ListContainerStatsRequest& request, const Call& call);
  absl::Status StreamContainerStats(
      const v1::StreamContainerStatsRequest& request,
      const std::function<bool(const v1::StreamContainerStatsResponse&)>& send, const Call& call);
  absl::StatusOr<v1::PodSandboxStatsResponse> PodSandboxStats(
      const v1::PodSandboxStatsRequest& request, const Call& call);
  absl::StatusOr<v1::ListPodSandboxStatsResponse> ListPodSandboxStats(
      const v1::ListPodSandboxStatsRequest& request, const Call& call);
  absl::Status StreamPodSandboxStats(
      const v1::StreamPodSandboxStatsRequest& request,
      const std::function<bool(const v1::StreamPodSandboxStatsResponse&)>& send, const Call& call);
  absl::StatusOr<v1::ListMetricDescriptorsResponse> ListMetricDescriptors(
      const v1::ListMetricDescriptorsRequest& request, const Call& call);
  absl::StatusOr<v1::ListPodSandboxMetricsResponse> ListPodSandboxMetrics(
      const v1::ListPodSandboxMetricsRequest& request, const Call& call);
  absl::Status StreamPodSandboxMetrics(
      const v1::StreamPodSandboxMetricsRequest& request,
      const std::function<bool(const v1::StreamPodSandboxMetricsResponse&)>& send,
      const Call& call);

  // Makes ready what the first pod would else wait for. To be called once, on a thread of its own,
  // while pods may already be run.
  void WarmUp();

  // Why no pod could be run just now (the monitor's program is missing, ...); ok otherwise. For
  // Status' RuntimeReady.
  absl::Status Ready() const;
  // Whether the cgroup driver is systemd, for RuntimeConfig.
  bool SystemdCgroups() const;
  // What Status tells with verbose under "config": stateDir, root, cgroup version and so on.
  Json Facts() const;
  // What RunPodSandbox accepts as runtime_handler.
  const RuntimeHandlers& Handlers() const;
  // Container events, for GetContainerEvents.
  EventHub& events();
  // For the streaming server, whose commands must be gone before this is.
  StreamBackend& streams();

 private:
  explicit PodRuntime(std::unique_ptr<PodState> state);
  std::unique_ptr<PodState> state_;
  const std::unique_ptr<PodStreams> streams_;
};

}  // namespace crisp
