#include "pod/recovery.h"

#include <signal.h>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"
#include "oci/spec.h"
#include "pod/folder_names.h"
#include "pod/pidfd.h"

namespace crisp {
namespace {

// In all, for what may hang (network plugins); the rest is left to the clients' own Stop and
// Remove.
constexpr absl::Duration kBudget = absl::Seconds(20);
constexpr absl::Duration kHello = absl::Seconds(5);
constexpr size_t kIdLength = 64;

bool IsId(const std::string& name) { return name.size() == kIdLength && IsHex(name); }

std::map<std::string, pid_t> FindMonitors() {
  std::map<std::string, pid_t> monitors;
  for (const pid_t pid : ProcessIds()) {
    const absl::StatusOr<std::string> line = ReadFile(Cat("/proc/", pid, "/cmdline"), 64 << 10);
    if (!line.ok()) continue;
    if (std::string pod = PodOfMonitor(*line); !pod.empty()) monitors[pod] = pid;
  }
  return monitors;
}

void Report(std::string_view what, const absl::Status& status) {
  if (!status.ok()) LOG_ERROR("recovery: {}: {}", what, status.ToString());
}

}  // namespace

std::string PodOfMonitor(std::string_view command_line) {
  const std::vector<std::string_view> words = Split(command_line, '\0');
  if (words.size() < 3 || words[0] != "crisp-monitor") return "";
  for (size_t i = 1; i + 1 < words.size(); ++i) {
    if (words[i] == "--pod" && IsId(std::string(words[i + 1]))) return std::string(words[i + 1]);
  }
  return "";
}

absl::Status PodState::Recover() { return Recovery(*this).Run(); }

Call Recovery::Budget() const {
  Call call;
  // Even when all is used up, a step that does not hang gets its chance.
  call.deadline = std::max(end_, absl::Now() + absl::Seconds(1));
  return call;
}

absl::Status Recovery::Run() {
  end_ = absl::Now() + kBudget;
  ASSIGN_OR_RETURN(LoadedRecords loaded, state_.records->Load());
  monitors_ = FindMonitors();
  TakePods(std::move(loaded.pods));
  TakeContainers(std::move(loaded.containers));
  // Before anybody is asked: a frozen process answers to nothing.
  state_.SweepCheckpoints();
  Reconnect();
  FinishContainers();
  FinishPods();
  RollBackPods();
  SweepPodFolders();
  DropOrphans();
  SweepContainerFolders();
  SweepHoldings();
  state_.worker->Drain();
  state_.events.EndStart();
  LOG_INFO("recovered {} pods and {} containers", state_.table.Pods().size(),
           state_.table.Containers().size());
  return absl::OkStatus();
}

void Recovery::TakePods(std::vector<record::Pod> pods) {
  for (record::Pod& record : pods) {
    auto pod = std::make_shared<PodEntry>(std::move(record));
    pod_ids_.insert(pod->id);
    if (const std::string level = pod->record.Get()->selinux_level(); !level.empty()) {
      state_.selinux_levels.Keep(level);
    }
    if (pod->record.Get()->phase() == record::POD_CREATING) {
      creating_.push_back(std::move(pod));
    } else {
      state_.table.Add(std::move(pod));
    }
  }
}

void Recovery::TakeContainers(std::vector<record::Container> containers) {
  for (record::Container& record : containers) {
    absl::StatusOr<PodPointer> pod = state_.table.FindPod(record.pod_id());
    const bool orphan = !pod.ok();
    if (orphan) {
      record::Pod nobody;
      nobody.set_id(record.pod_id());
      pod = std::make_shared<PodEntry>(std::move(nobody));
    }
    auto container = std::make_shared<ContainerEntry>(std::move(record), *pod);
    if (orphan) {
      orphans_.push_back(std::move(container));
    } else if (container->record.Get()->phase() == record::CONTAINER_CREATING) {
      half_made_.push_back(std::move(container));
    } else {
      state_.table.Add(std::move(container));
    }
  }
}

void Recovery::Reconnect() {
  for (const PodPointer& pod : state_.table.Pods()) {
    if (pod->record.Get()->boot_id() == state_.boot_id) {
      ReconnectPod(pod);
    } else {
      AfterReboot(pod);
    }
  }
}

void Recovery::ReconnectPod(const PodPointer& pod) {
  const record::PodPhase phase = pod->record.Get()->phase();
  if (phase == record::POD_STOPPED || phase == record::POD_REMOVING) return;
  absl::Status status;
  absl::StatusOr<std::shared_ptr<MonitorClient>> client = state_.Connect(pod->id, UniqueFd());
  status = client.status();
  if (status.ok()) {
    status = state_.Adopt(pod, *client, Call{}.Within(kHello));
    if (!status.ok()) (*client)->Close();
  }
  if (status.ok()) return;
  KillStrayMonitor(pod->id);
  pod->set_monitor(nullptr);
  if (phase == record::POD_READY) {
    LOG_ERROR("pod {}: its monitor is gone, the pod is not ready any more: {}", pod->id,
              status.ToString());
    Report(Cat("pod ", pod->id), state_.SetPhase(*pod, record::POD_STOPPING));
    kept_stopping_.insert(pod->id);
  }
  state_.EndContainersOf(pod, "the monitor of its pod died while crispd was down");
  if (phase == record::POD_READY) state_.PublishStop(*pod);
}

// Nothing of it runs, and the state folder is empty; its network is taken down by the client's
// StopPodSandbox, when the node's network is up again.
void Recovery::AfterReboot(const PodPointer& pod) {
  const bool was_ready = pod->record.Get()->phase() == record::POD_READY;
  if (was_ready) {
    LOG_INFO("pod {} is of an earlier boot: not ready", pod->id);
    Report(Cat("pod ", pod->id), state_.SetPhase(*pod, record::POD_STOPPING));
  }
  kept_stopping_.insert(pod->id);
  for (const ContainerPointer& container : state_.table.ContainersOf(pod->id)) {
    // A created one cannot be started any more either.
    container->record.Update([](record::Container& record) {
      if (record.phase() != record::CONTAINER_READY) return false;
      record.set_phase(record::CONTAINER_STARTING);
      return true;
    });
    state_.NoteExit(container, PodState::UnknownExit(container->id, "the node was restarted"));
  }
  if (was_ready) state_.PublishStop(*pod);
}

void Recovery::FinishContainers() {
  for (const ContainerPointer& container : half_made_) {
    LOG_INFO("container {}: rolled back", container->id);
    Report(Cat("container ", container->id), state_.DropContainer(container));
  }
  for (const ContainerPointer& container : state_.table.Containers()) {
    if (container->record.Get()->phase() != record::CONTAINER_REMOVING) continue;
    Report(Cat("container ", container->id), state_.DropContainer(container));
  }
  for (const ContainerPointer& container : state_.table.Containers()) {
    if (!container->record.Get()->has_update()) continue;
    LOG_INFO("container {}: an update of its resources was interrupted, taken back", container->id);
    Report(Cat("container ", container->id), state_.TakeUpdateBack(container));
  }
}

// Containers of pods that have no record; whatever of such a pod was found is gone by now, their
// processes with it.
void Recovery::DropOrphans() {
  for (const ContainerPointer& container : orphans_) {
    LOG_WARN("container {} is of pod {}, which has no record: removed", container->id,
             container->pod->id);
    Report(Cat("container ", container->id), state_.DropContainer(container));
  }
}

void Recovery::FinishPods() {
  for (const PodPointer& pod : state_.table.Pods()) {
    const record::PodPhase phase = pod->record.Get()->phase();
    if (phase == record::POD_STOPPING && !kept_stopping_.contains(pod->id)) {
      Report(Cat("stopping pod ", pod->id), state_.StopPod(pod, Budget()));
    }
    if (phase == record::POD_REMOVING) {
      absl::Status status = state_.DropPod(pod);
      Report(Cat("removing pod ", pod->id), status);
      if (status.ok()) {
        absl::MutexLock lock(&pod->event_mutex);
        state_.table.Remove(*pod);
        pod_ids_.erase(pod->id);
        state_.Publish(*pod, pod->id, v1::CONTAINER_DELETED_EVENT);
      }
    }
  }
}

void Recovery::RollBackPods() {
  for (const PodPointer& pod : creating_) {
    LOG_INFO("pod {}: its creation was interrupted, rolled back", pod->id);
    RollBack(pod);
  }
}

void Recovery::RollBack(const PodPointer& pod) {
  absl::StatusOr<std::shared_ptr<MonitorClient>> client = state_.Connect(pod->id, UniqueFd());
  absl::Status adopted = client.status();
  if (adopted.ok()) adopted = state_.Adopt(pod, *client, Call{}.Within(kHello));
  if (!adopted.ok()) {
    if (client.ok()) (*client)->Close();
    KillStrayMonitor(pod->id);
  }
  absl::Status status = state_.Dismantle(pod, Budget());
  if (status.ok()) status = state_.DropPod(pod);
  if (status.ok()) {
    pod_ids_.erase(pod->id);
    return;
  }
  Report(Cat("rolling back pod ", pod->id), status);
  pod_ids_.insert(pod->id);
  Report(Cat("pod ", pod->id), state_.SetPhase(*pod, record::POD_STOPPING));
  state_.table.Add(pod);
}

void Recovery::SweepPodFolders() {
  for (const std::string& name : NamesIn(state_.paths.Pods())) {
    if (!IsId(name)) continue;
    if (absl::StatusOr<PodPointer> pod = state_.table.FindPod(name); pod.ok()) {
      SweepBundles(**pod);
      continue;
    }
    LOG_WARN("pod {} has a folder but no record: cleaned up", name);
    record::Pod record;
    record.set_id(name);
    RollBack(std::make_shared<PodEntry>(std::move(record)));
  }
}

void Recovery::SweepBundles(const PodEntry& pod) {
  for (const std::string& name : NamesIn(state_.paths.Bundles(pod.id))) {
    if (!IsId(name) || state_.table.FindContainer(name).ok()) continue;
    LOG_WARN("container {} has a bundle but no record: cleaned up", name);
    record::Container record;
    record.set_id(name);
    absl::StatusOr<std::string> cgroup =
        state_.CgroupPathOf(pod.record.Get()->config(), pod.id, name, true);
    if (cgroup.ok()) {
      record.set_cgroup_path(*cgroup);
      Report(Cat("container ", name), state_.ClearCgroup(record, absl::Seconds(5)));
    }
    Report(Cat("container ", name), RemoveTree(state_.paths.Bundle(pod.id, name)));
  }
}

void Recovery::SweepContainerFolders() {
  for (const std::string& name : NamesIn(state_.paths.Containers())) {
    if (!IsId(name) || state_.table.FindContainer(name).ok()) continue;
    Report(Cat("container ", name), state_.trash->Throw(state_.paths.Container(name)));
  }
}

void Recovery::SweepHoldings() {
  if (absl::StatusOr<std::vector<std::string>> holders = state_.images.Holders(); holders.ok()) {
    for (const std::string& holder : *holders) {
      // Of a container, or of a pod that has images mounted.
      if (state_.table.FindContainer(holder).ok() || pod_ids_.contains(holder)) continue;
      Report(Cat("the image lease of ", holder), state_.images.Release(holder));
    }
  } else {
    Report("image leases", holders.status());
  }
  Report("network addresses", state_.networks.ReleaseAllExcept(pod_ids_, Budget()));
}

// A monitor that does not answer; its containers are killed by their cgroups afterwards.
void Recovery::KillStrayMonitor(const std::string& pod_id) {
  const auto found = monitors_.find(pod_id);
  if (found == monitors_.end()) return;
  UniqueFd pidfd(pidfd_open(found->second, 0));
  // Looked at again: the number may belong to another process by now.
  const absl::StatusOr<std::string> line =
      ReadFile(Cat("/proc/", found->second, "/cmdline"), 64 << 10);
  if (!pidfd.valid() || !line.ok() || PodOfMonitor(*line) != pod_id) return;
  LOG_WARN("pod {}: its monitor, process {}, does not answer and is killed", pod_id, found->second);
  (void)pidfd_send_signal(pidfd.get(), SIGKILL, nullptr, 0);
}

}  // namespace crisp
