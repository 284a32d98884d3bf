// PodState: what the verbs share: options, tables, connections, and the steps that several verbs
// and the recovery take. Internal to pod/. Any thread; the MonitorEvents arrive on the watcher's
// thread and hand everything slow to the worker.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "api/record.pb.h"
#include "base/call.h"
#include "checkpoint/criu.h"
#include "db/database.h"
#include "image/image_store.h"
#include "kernel/cgroup.h"
#include "kernel/cgroup_tree.h"
#include "kernel/terminal.h"
#include "network/network_choice.h"
#include "oci/daemon_limits.h"
#include "oci/seccomp_cache.h"
#include "oci/selinux.h"
#include "pod/event_hub.h"
#include "pod/exit_watcher.h"
#include "pod/layer_meter.h"
#include "pod/monitor_client.h"
#include "pod/monitor_program.h"
#include "pod/paths.h"
#include "pod/records.h"
#include "pod/runtime.h"
#include "pod/table.h"
#include "pod/trash.h"
#include "pod/worker.h"

namespace crisp {

// A container whose monitor can be asked about it.
struct RunningContainer {
  ContainerPointer container;
  std::shared_ptr<MonitorClient> monitor;
};

struct PodState : public MonitorEvents {
  PodState(PodOptions options, Database& database, ImageStore& images, NetworkChoice& networks);
  ~PodState() override;
  // Opens everything below that can fail. Not yet recovered.
  absl::Status Open();
  absl::Status MakeSkeleton();

  const PodOptions options;
  const Paths paths;
  Database& database;
  ImageStore& images;
  NetworkChoice& networks;
  std::string boot_id;
  std::unique_ptr<CgroupTree> cgroups;
  bool systemd_cgroups = false;  // the cgroup driver is systemd
  DaemonLimits limits;
  SelinuxLevels selinux_levels;
  std::unique_ptr<RuntimeHandlers> handlers;
  std::unique_ptr<SeccompCache> seccomp;
  Criu criu;
  std::unique_ptr<RecordStore> records;
  std::unique_ptr<MonitorProgram> monitor_program;  // null: see monitor_error
  absl::Status monitor_error;
  DescriptorBudget stats_budget{DescriptorBudget::HalfOfLimit()};  // outlives the table's entries
  Table table;
  NameLocks pod_names;
  NameLocks container_names;
  EventHub events;
  LayerMeter layer_meter;
  std::atomic<bool> swap_warned = false;
  std::unique_ptr<Trash> trash;
  std::unique_ptr<Worker> worker;
  std::unique_ptr<ExitWatcher> watcher;

  // --- record_steps.cc: records and their rows ---
  // Writes the entry's present record, unless its row is erased already.
  absl::Status Save(PodEntry& pod);
  absl::Status Save(ContainerEntry& container);
  // The same soon, for what recovery could find out by itself.
  void SaveLater(PodPointer pod);
  void SaveLater(ContainerPointer container);
  absl::Status Erase(PodEntry& pod);
  absl::Status Erase(ContainerEntry& container);
  // Publishes the record in a new phase and writes it; takes it back if it cannot be written.
  absl::Status SetPhase(PodEntry& pod, record::PodPhase phase);
  absl::Status SetPhase(ContainerEntry& container, record::ContainerPhase phase);
  // Tells the subscribers, if there are any, with the pod's state of this moment.
  void Publish(const PodEntry& pod, const std::string& container_id, v1::ContainerEventType type)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(pod.event_mutex);
  // The pod is not ready any more: told once.
  void PublishStop(PodEntry& pod) ABSL_LOCKS_EXCLUDED(pod.event_mutex);

  // --- container_steps.cc ---
  // NotFound; FailedPrecondition "... is not running: <consequence>".
  absl::StatusOr<RunningContainer> FindRunning(std::string_view id,
                                               std::string_view consequence) const;
  // Takes the end of a container over into its record, once.
  void NoteExit(const ContainerPointer& container, const monitor::ExitRecord& exit);
  void NoteStarted(const ContainerPointer& container, int32_t pid, int64_t started_at);
  // The exit record in its bundle; NotFound if it has not ended.
  absl::StatusOr<monitor::ExitRecord> ReadExit(const record::Container& container) const;
  // The exit that is told when nobody knows better: 255, Unknown.
  static monitor::ExitRecord UnknownExit(const std::string& id, std::string_view message);
  // Kills what runs in its cgroup (when there is no monitor to ask) and removes the cgroup.
  absl::Status ClearCgroup(const record::Container& container, absl::Duration patience);
  // StopContainer's rules; ok once the container does not run.
  absl::Status StopOne(const ContainerPointer& container, absl::Duration grace, const Call& call);
  absl::Status SendStopSignal(const ContainerPointer& container, const Call& call);
  absl::StatusOr<bool> AwaitGrace(const ContainerPointer& container, const Call& call);
  absl::Status KillOne(const ContainerPointer& container, const Call& call);
  // RemoveContainer's rules: stops it, then drops it.
  absl::Status RemoveOne(const ContainerPointer& container, const Call& call);
  // Removes a container that does not run, and all that it has.
  absl::Status DropContainer(const ContainerPointer& container);

  // --- pod_steps.cc ---
  // Stops the containers, ends the monitor, takes the network and the namespaces down. Idempotent;
  // every step is tried, the first error is returned. The pod's folder stays.
  absl::Status Dismantle(const PodPointer& pod, const Call& call);
  absl::Status StopContainersOf(const PodPointer& pod, const Call& call);
  absl::Status TearDownNetwork(const PodPointer& pod, const Call& call);
  absl::Status EndMonitor(const PodPointer& pod);
  absl::Status RemovePodCgroup(const record::Pod& pod);
  // StopPodSandbox under the pod's operation lock.
  absl::Status StopPod(const PodPointer& pod, const Call& call);
  // Removes the folder and the record of a dismantled pod.
  absl::Status DropPod(const PodPointer& pod);
  // The rest after a monitor died: containers end as Unknown, the pod is not ready any more.
  void BuryMonitor(const PodPointer& pod, const std::shared_ptr<MonitorClient>& client);
  void EndContainersOf(const PodPointer& pod, std::string_view why);
  // Connects to the pod's monitor. Unavailable or NotFound if there is none.
  absl::StatusOr<std::shared_ptr<MonitorClient>> Connect(const std::string& pod_id, UniqueFd pidfd);
  // Says Hello and takes over what the monitor knows of its containers.
  absl::Status Adopt(const PodPointer& pod, const std::shared_ptr<MonitorClient>& client,
                     const Call& call);
  void TakeHello(const PodPointer& pod, MonitorClient& client, const monitor::Reply& hello);
  void SettleContainer(const ContainerPointer& container, const monitor::ContainerState* state);
  PodNetworkRequest NetworkRequest(const record::Pod& pod) const;

  // --- stats_steps.cc ---
  // What does not run has no figures; its reading says so.
  StatsReading ReadStats(ContainerEntry& container, StatsDetail detail);
  StatsReading ReadStats(PodEntry& pod, StatsDetail detail);
  std::optional<LayerUsage> ReadLayer(const ContainerEntry& container);
  // False if the pod has no network of its own, or none that a process leads to.
  bool ReadLinks(PodEntry& pod, const std::function<void(const LinkFigures&)>& see);
  v1::ContainerStats StatsOfContainer(ContainerEntry& container);
  v1::PodSandboxStats StatsOfPod(PodEntry& pod);

  // --- update_container_resources.cc ---
  // Puts these limits (of BuildResources) and this oom_score_adj into the container's config.json.
  absl::Status WriteLimits(const record::Container& container, const Json& built,
                           int64_t oom_score_adj) const;
  // Undoes the update that the record's journal tells of, if any.
  absl::Status TakeUpdateBack(const ContainerPointer& container);
  // Says once that this host's swap cannot be limited, if these resources would need it.
  void WarnOfSwap(const v1::LinuxContainerResources& asked);

  // --- container_scope.cc ---
  // Decides between the drivers as the options say; makes room in the root cgroup.
  absl::Status ChooseCgroupDriver();
  // Where the cgroup of a container of the native handler is, or of another: OCI's
  // linux.cgroupsPath, of the driver in use.
  absl::StatusOr<std::string> CgroupPathOf(const v1::PodSandboxConfig& pod, std::string_view pod_id,
                                           std::string_view container_id, bool native) const;
  // Has systemd make the container's scope, if its cgroup is or lies in one.
  absl::Status OpenScope(const ContainerEntry& container, const Call& call);
  // Tells systemd the limits of a running container, all of them, if it has a scope.
  absl::Status SetScopeLimits(const record::Container& container, const Json& resources) const;
  // The cgroup that a pod without a cgroup_parent has for itself.
  std::string OwnPodCgroup(std::string_view pod_id) const;
  // Stops a scope or slice; a failure is logged, for the cgroup is removed in any case.
  void CloseUnit(const std::string& name);

  // --- create_container.cc ---
  // CreateContainer; with an archive the container is made from that checkpoint, whatever its image
  // says.
  absl::StatusOr<std::string> CreateOne(const v1::CreateContainerRequest& request,
                                        const std::string& archive, const Call& call);

  // --- checkpoint_sweep.cc ---
  // What an interrupted checkpoint left: CRIU ends, frozen containers run again, its folder goes.
  void SweepCheckpoints();

  // --- exec_sync.cc ---
  // The OCI process object, as JSON text, of an exec in the container: see BuildExecProcess.
  absl::StatusOr<std::string> ExecProcess(const ContainerPointer& container,
                                          const std::vector<std::string>& cmd,
                                          const std::optional<TerminalSize>& terminal);

  // --- monitor_events.cc ---
  void ContainerStarted(const std::string& pod_id, const monitor::ContainerStarted& event) override;
  void ContainerExited(const std::string& pod_id, const monitor::ExitRecord& exit) override;
  void MonitorGone(const std::shared_ptr<MonitorClient>& client) override;

  // --- recovery.cc ---
  absl::Status Recover();
};

// The first error of two; the second is logged when both fail.
void Keep(absl::Status& first, const absl::Status& next);

bool HostNetwork(const record::Pod& pod);
bool HostIpc(const record::Pod& pod);
// The pod has a PID namespace of its own, hence an init. That is also so if nothing is said: POD is
// the CRI's default.
bool SharesPids(const v1::PodSandboxConfig& config);
// The cgroup that systemd made for a container whose own cgroup this is: it, or the one above it;
// empty if there is none.
std::string ScopeOf(std::string_view cgroup_path);
// STARTING or UP.
bool MayRun(const record::Container& container);

}  // namespace crisp
