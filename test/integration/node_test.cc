#include "test/integration/node_test.h"

#include <unistd.h>

#include <fstream>
#include <mutex>
#include <regex>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/text.h"

namespace crisp {

void NodeTest::SetUp() {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  static std::once_flag pushed;
  std::call_once(pushed, [&] { registry().Push("busybox:latest", BusyboxImage()); });
  folder_ = std::make_unique<TestFolder>();
  daemon_ = std::make_unique<TestDaemon>(*folder_, ExtraConfig());
  ASSERT_THAT(daemon_->Start(), IsOk());
  ASSERT_THAT(cri().Pull(kBusybox), IsOk());
  before_ = std::make_unique<NodeState>(State());
}

void NodeTest::TearDown() {
  if (daemon_ == nullptr) return;
  if (!daemon_->running()) {
    EXPECT_THAT(daemon_->Start(), IsOk());
  }
  if (before_ != nullptr) {
    RemoveAllPods();
    EXPECT_THAT(Leftovers(), testing::IsEmpty());
  }
  if (daemon_->running()) {
    EXPECT_EQ(daemon_->Stop(), 0) << "crispd did not end well";
  }
  if (!HasFailure()) return;
  std::fprintf(stderr, "crispd's log, %s:\n%s\n", daemon_->log_path().c_str(),
               daemon_->LogTail().c_str());
  folder_->Keep();
}

NodeState::Scope NodeTest::StateScope() const {
  NodeState::Scope scope;
  scope.folders = {folder_->path()};
  scope.standing_folders = {daemon_->root() + "/logs"};  // of crisp run
  // Logs are kubelet's; the rest is what the daemon itself works with.
  scope.ignored_files = {*folder_ / "logs",
                         *folder_ / "crispd.log",
                         daemon_->root() + "/layers",
                         daemon_->root() + "/crisp.db",
                         daemon_->root() + "/seccomp",
                         *folder_ / "volumes"};
  scope.ignored_processes = {daemon_->pid(), TestRegistry::Get().pid()};
  return scope;
}

NodeState NodeTest::State() const { return NodeState::Take(StateScope()); }

std::vector<std::string> NodeTest::NewSince(const NodeState& before) const {
  std::vector<std::string> left;
  // The kernel takes its time with network namespaces and their links.
  WaitUntil(
      [&] {
        left = State().NewSince(before);
        // A link that stays gets its link-local address when it likes.
        std::erase_if(
            left, [](const std::string& line) { return absl::StartsWith(line, "address fe80:"); });
        return left.empty();
      },
      absl::Seconds(10));
  return left;
}

void NodeTest::RemoveAllPods() {
  for (const v1::PodSandbox& pod : Must(cri().ListPods())) {
    EXPECT_THAT(cri().StopPod(pod.id()), IsOk());
    EXPECT_THAT(cri().RemovePod(pod.id()), IsOk());
  }
  EXPECT_THAT(Must(cri().ListPods()), testing::IsEmpty());
  EXPECT_THAT(Must(cri().ListContainers()), testing::IsEmpty());
}

std::string NodeTest::LogFolder(const v1::PodSandboxConfig& config) const {
  return Cat(*folder_ / "logs/", config.metadata().name());
}

v1::PodSandboxConfig NodeTest::PodConfig(const std::string& name) const {
  v1::PodSandboxConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_namespace_("test");
  config.mutable_metadata()->set_uid(Cat("uid-", name));
  config.set_hostname(name);
  config.set_log_directory(LogFolder(config));
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
      v1::CONTAINER);
  return config;
}

v1::ContainerConfig NodeTest::ContainerConfig(const std::string& name,
                                              const std::vector<std::string>& command) const {
  v1::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image(kBusybox);
  config.mutable_command()->Add(command.begin(), command.end());
  config.set_log_path(name + ".log");
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
      v1::CONTAINER);
  return config;
}

NodeTest::Pod NodeTest::RunPod(const v1::PodSandboxConfig& config, const std::string& handler) {
  Pod pod;
  pod.config = config;
  pod.id = Must(cri().RunPod(config, handler));
  return pod;
}

std::string NodeTest::Create(const Pod& pod, const v1::ContainerConfig& config) {
  return Must(cri().CreateContainer(pod.id, config, pod.config));
}

std::string NodeTest::Start(const Pod& pod, const v1::ContainerConfig& config) {
  std::string container = Create(pod, config);
  EXPECT_THAT(cri().StartContainer(container), IsOk());
  return container;
}

std::string NodeTest::StartIdle(const Pod& pod, const std::string& name) {
  return Start(pod, name, Shell("trap 'exit 0' TERM; while :; do sleep 0.05; done"));
}

v1::ContainerStatus NodeTest::WaitExited(const std::string& container) {
  v1::ContainerStatus status;
  EXPECT_TRUE(WaitUntil([&] {
    auto answer = cri().ContainerStatus(container);
    if (!answer.ok()) return false;
    status = *std::move(answer);
    return status.state() == v1::CONTAINER_EXITED;
  })) << "container "
      << container << " does not end: " << status.ShortDebugString();
  return status;
}

std::string NodeTest::RunToEnd(const Pod& pod, const v1::ContainerConfig& config,
                               int expected_exit) {
  const std::string container = Start(pod, config);
  EXPECT_EQ(WaitExited(container).exit_code(), expected_exit);
  return LogText(LogPath(pod, config.metadata().name()));
}

std::string NodeTest::Exec(const std::string& container, const std::string& script) {
  const auto result = cri().ExecSync(container, Shell(script), 30);
  if (!result.ok()) {
    ADD_FAILURE() << script << ": " << result.status();
    return "";
  }
  EXPECT_EQ(result->exit_code(), 0) << script << ": " << result->stdout() << result->stderr();
  return std::string(absl::StripSuffix(result->stdout(), "\n"));
}

std::string NodeTest::LogPath(const Pod& pod, const std::string& container_name) const {
  return Cat(pod.config.log_directory(), "/", container_name, ".log");
}

// 2026-01-02T03:04:05.123456789Z stdout F content
std::optional<LogLine> NodeTest::ParseLogLine(const std::string& line) {
  static const std::regex kForm(
      R"((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([FP]) )");
  std::smatch match;
  if (!std::regex_search(line, match, kForm, std::regex_constants::match_continuous))
    return std::nullopt;
  return LogLine{match[2], match[3], line.substr(match.length())};
}

std::vector<LogLine> NodeTest::ReadLog(const std::string& path) const {
  std::vector<LogLine> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    auto parsed = ParseLogLine(line);
    if (parsed.has_value()) {
      lines.push_back(*std::move(parsed));
    } else {
      ADD_FAILURE() << path << ": no CRI log line: " << line.substr(0, 200);
    }
  }
  return lines;
}

std::string NodeTest::LogText(const std::string& path, const std::string& stream) const {
  std::string text;
  for (const LogLine& line : ReadLog(path)) {
    if (!stream.empty() && line.stream != stream) continue;
    text += line.content;
    if (line.tag == "F") text += '\n';
  }
  return text;
}

}  // namespace crisp
