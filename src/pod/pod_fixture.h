// PodTest: a PodRuntime with everything real below it (database, image store, bridge network,
// monitors, launcher) in a temporary folder, and a busybox image. Needs root and
// tools/private-namespaces. For tests only.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "db/database.h"
#include "image/image_store.h"
#include "network/network_choice.h"
#include "pod/records.h"
#include "pod/runtime.h"

namespace crisp {

inline constexpr char kTestImage[] = "localhost/test/busybox:1";

class PodTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Opens everything on the same folders, as a starting daemon does.
  void OpenRuntime();
  // Lets go of everything without stopping anything, as a killed daemon does.
  void CloseRuntime();
  void Restart() {
    CloseRuntime();
    OpenRuntime();
  }
  // Change a record while the runtime is closed, as if the daemon had ended at another moment.
  void EditPod(const std::string& id, const std::function<void(record::Pod&)>& change);
  void EditContainer(const std::string& id, const std::function<void(record::Container&)>& change);

  std::string At(std::string_view name) const;
  // On a tmpfs, as in real life.
  std::string State() const { return Cat("/dev/shm/", BaseName(folder_)); }

  static v1::RunPodSandboxRequest PodRequest(const std::string& name);
  v1::CreateContainerRequest ContainerRequest(const std::string& pod, const std::string& name,
                                              const std::vector<std::string>& command) const;
  // These fail the test and return "" on an error.
  std::string RunPod(const v1::RunPodSandboxRequest& request);
  std::string RunPod(const std::string& name) { return RunPod(PodRequest(name)); }
  std::string Create(const v1::CreateContainerRequest& request);
  std::string Create(const std::string& pod, const std::string& name,
                     const std::vector<std::string>& command) {
    return Create(ContainerRequest(pod, name, command));
  }
  // Created and started.
  std::string Running(const std::string& pod, const std::string& name,
                      const std::vector<std::string>& command);

  absl::Status Start(const std::string& id);
  absl::Status Stop(const std::string& id, int64_t timeout, const Call& call = {});
  absl::Status Remove(const std::string& id);
  absl::Status StopPod(const std::string& id);
  absl::Status RemovePod(const std::string& id);
  absl::StatusOr<v1::ExecSyncResponse> Exec(const std::string& id,
                                            const std::vector<std::string>& command,
                                            int64_t timeout = 0);
  v1::ContainerStatus Status(const std::string& id);
  v1::PodSandboxStatus PodStatus(const std::string& id);
  // As a client gets them: of the answer's bytes.
  std::vector<v1::PodSandbox> Pods(const v1::PodSandboxFilter& filter = {});
  std::vector<v1::Container> Containers(const v1::ContainerFilter& filter = {});
  // What the verbose forms of both tell besides.
  Json ContainerInfo(const std::string& id);
  Json PodInfo(const std::string& id);
  // Waits (at most 20 s) until the container has this state.
  v1::ContainerStatus Await(const std::string& id, v1::ContainerState state);
  std::string Log(const std::string& name) const;  // of container `name`, attempt 0

  // What the host has of ours: mounts, cgroups, pinned namespaces, processes, files, links. Two of
  // them tell a leak.
  std::vector<std::string> Traces() const;
  // Waits for background removal, then compares.
  void ExpectNoTraces(const std::vector<std::string>& before) const;
  // The same for what has this word (an id) in its name.
  void ExpectNoTraceOf(const std::string& word) const;

  std::string folder_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<ImageStore> images_;
  std::unique_ptr<NetworkChoice> networks_;
  std::unique_ptr<PodRuntime> runtime_;

 private:
  void MakeImage();
  static void ListTree(const std::string& folder, std::vector<std::string>& paths);
};

}  // namespace crisp
