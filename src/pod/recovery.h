// Recovery: brings the records and the world together when the daemon starts, whatever instruction
// the last one died at. Every pod and container that is journaled half-way is rolled forward or
// back; monitors that run are taken over; what no record names is swept. Runs once, before any
// client is served. A step that fails is logged and left for the client's next call or the next
// start.
#pragma once

#include <map>
#include <set>
#include <string>

#include "pod/pod_state.h"

namespace crisp {

class Recovery {
 public:
  explicit Recovery(PodState& state) : state_(state) {}
  absl::Status Run();

 private:
  void TakePods(std::vector<record::Pod> pods);
  void TakeContainers(std::vector<record::Container> containers);
  void Reconnect();
  void ReconnectPod(const PodPointer& pod);
  void AfterReboot(const PodPointer& pod);
  void FinishContainers();
  void FinishPods();
  void DropOrphans();
  void RollBackPods();
  void RollBack(const PodPointer& pod);
  void SweepPodFolders();
  void SweepContainerFolders();
  void SweepBundles(const PodEntry& pod);
  void SweepHoldings();
  void KillStrayMonitor(const std::string& pod_id);
  Call Budget() const;

  PodState& state_;
  absl::Time end_;
  std::map<std::string, pid_t> monitors_;  // monitors that run on this host, by pod
  std::vector<PodPointer> creating_;
  std::vector<ContainerPointer> half_made_;
  std::vector<ContainerPointer> orphans_;
  std::set<std::string> kept_stopping_;  // not ready any more; taken down when the client says so
  std::set<std::string> pod_ids_;        // of every pod that still holds something
};

// The pod's id if this is the command line of a monitor ("\0" between the words), else "".
std::string PodOfMonitor(std::string_view command_line);

}  // namespace crisp
