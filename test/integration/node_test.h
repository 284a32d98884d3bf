// NodeTest: the fixture of the integration tests: a node with a crispd of its own, the registry's
// busybox image pulled, and a check in the end that nothing was left behind by it. Short verbs for
// the usual steps; each reports a failure of its own and returns something empty then.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/cri_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/integration/node_state.h"
#include "test/integration/test_daemon.h"
#include "test/integration/test_folder.h"
#include "test/integration/test_image.h"
#include "test/integration/test_registry.h"

namespace crisp {

namespace v1 = ::runtime::v1;

// The value, or a test failure with the error's words and an empty value.
template <typename T>
T Must(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  ADD_FAILURE() << value.status();
  return T();
}

inline const absl::Status& StatusIn(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusIn(const absl::StatusOr<T>& value) {
  return value.status();
}

// Matchers of absl::Status and StatusOr: the code, and a part of the words.
MATCHER_P2(Fails, code, part, "") {
  const absl::Status status = StatusIn(arg);
  *result_listener << "which is " << status.ToString();
  return status.code() == code && std::string(status.message()).find(part) != std::string::npos;
}
MATCHER(IsOk, "") {
  const absl::Status status = StatusIn(arg);
  *result_listener << "which is " << status.ToString();
  return status.ok();
}
struct LogLine {
  std::string stream;
  std::string tag;  // "F" or "P"
  std::string content;
};

class NodeTest : public testing::Test {
 protected:
  static constexpr char kBusybox[] = "registry.test/busybox:latest";

  struct Pod {
    std::string id;
    v1::PodSandboxConfig config;
  };

  void SetUp() override;
  // Removes all pods, compares the node with what it was before, stops the daemon.
  void TearDown() override;

  // What stands in the daemon's configuration besides the usual; asked for in SetUp.
  virtual std::string ExtraConfig() { return ""; }

  CriClient& cri() { return daemon_->cri(); }
  TestDaemon& daemon() { return *daemon_; }
  TestRegistry& registry() { return TestRegistry::Get(); }
  const TestFolder& folder() const { return *folder_; }
  std::string LogFolder(const v1::PodSandboxConfig& config) const;

  static std::vector<std::string> Shell(const std::string& script) { return {"sh", "-c", script}; }
  // Unique by name; with the default network, and a PID namespace for each container.
  v1::PodSandboxConfig PodConfig(const std::string& name) const;
  v1::ContainerConfig ContainerConfig(const std::string& name,
                                      const std::vector<std::string>& command) const;

  Pod RunPod(const std::string& name) { return RunPod(PodConfig(name)); }
  Pod RunPod(const v1::PodSandboxConfig& config, const std::string& handler = "");
  std::string Create(const Pod& pod, const v1::ContainerConfig& config);
  std::string Start(const Pod& pod, const v1::ContainerConfig& config);
  std::string Start(const Pod& pod, const std::string& name,
                    const std::vector<std::string>& command) {
    return Start(pod, ContainerConfig(name, command));
  }
  // A container that does nothing until it is told to stop, which it does at once.
  std::string StartIdle(const Pod& pod, const std::string& name = "idle");

  // Waits for the end.
  v1::ContainerStatus WaitExited(const std::string& container);
  // Starts it, waits for the end and returns what it wrote to its log, both streams.
  std::string RunToEnd(const Pod& pod, const v1::ContainerConfig& config, int expected_exit = 0);
  // Output of a script in the container, which must exit with 0; without the last newline.
  std::string Exec(const std::string& container, const std::string& script);

  // The lines of a log file; a line of wrong form is a failure.
  std::vector<LogLine> ReadLog(const std::string& path) const;
  // The content of one stream, pieces joined, each full line ended by a newline.
  std::string LogText(const std::string& path, const std::string& stream = "") const;
  std::string LogPath(const Pod& pod, const std::string& container_name) const;

  // Everything that is new on the node since then, asked again for a while before it counts.
  std::vector<std::string> NewSince(const NodeState& before) const;
  NodeState State() const;
  // The same since SetUp.
  std::vector<std::string> Leftovers() const { return NewSince(*before_); }
  void RemoveAllPods();

 private:
  NodeState::Scope StateScope() const;
  static std::optional<LogLine> ParseLogLine(const std::string& line);

  std::unique_ptr<TestFolder> folder_;
  std::unique_ptr<TestDaemon> daemon_;
  std::unique_ptr<NodeState> before_;
};

}  // namespace crisp
