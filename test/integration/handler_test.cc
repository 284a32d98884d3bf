// Runtime handlers from the configuration: containers that crun and runc run, beside the native
// ones of the same node. The other suites run whole with one of them: CRISP_TEST_HANDLER=crun.
#include <fstream>
#include <set>

#include "base/file.h"
#include "base/text.h"
#include "test/integration/crisp_session.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::Not;

class Handlers : public NodeTest {
 protected:
  std::string ExtraConfig() override {
    return "[[runtime]]\nname = \"broken\"\npath = \"/nowhere/crun\"\n"
           "[[runtime]]\nname = \"own\"\nkind = \"native\"\n";
  }
  Pod RunPodWith(const std::string& handler) { return RunPod(PodConfig(handler), handler); }
  std::string Bundle(const Pod& pod, const std::string& container) {
    return Cat(daemon().state(), "/pods/", pod.id, "/containers/", container);
  }
  absl::Status LimitMemory(const std::string& container, int64_t bytes) {
    v1::UpdateContainerResourcesRequest request;
    request.set_container_id(container);
    request.mutable_linux()->set_memory_limit_in_bytes(bytes);
    return cri().Call(&CriClient::RuntimeStub::UpdateContainerResources, request).status();
  }
  std::string MemoryLimit(const std::string& container) {
    return Exec(container,
                "cat /sys/fs/cgroup/memory.max || cat /sys/fs/cgroup/memory/memory.limit_in_bytes");
  }
  static std::string Mounts() {
    std::ifstream file("/proc/self/mountinfo");
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

TEST_F(Handlers, ContainersOfOciRuntimesLiveTheSameLife) {
  for (const char* handler : {"crun", "runc"}) {
    const Pod pod = RunPodWith(handler);
    const std::string id = Start(
        pod, "main", Shell("trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done"));
    // It is the runtime that runs it, and its root is mounted nowhere on the host.
    EXPECT_TRUE(PathExists(Cat(Bundle(pod, id), "/oci/state/", id))) << handler;
    EXPECT_THAT(Mounts(), Not(HasSubstr(Bundle(pod, id))));
    EXPECT_EQ(Exec(id, "cat /proc/1/comm"), "sh");
    EXPECT_THAT(cri().StopContainer(id, 10), IsOk());
    const v1::ContainerStatus status = WaitExited(id);
    EXPECT_EQ(status.exit_code(), 5) << handler;
    EXPECT_EQ(LogText(LogPath(pod, "main")), "up\nbye\n");
  }
}

TEST_F(Handlers, TerminalsAndAttachedClients) {
  for (const std::string handler : {"crun", "runc"}) {
    const Pod pod = RunPodWith(handler);
    v1::ContainerConfig config = ContainerConfig(
        "main", Shell("trap 'exit 0' TERM; stty size; while read x; do tty; echo \"<$x>\"; done"));
    config.set_stdin(true);
    config.set_tty(true);
    Start(pod, config);
    CrispSession attached(daemon().endpoint(), {"attach", "-it", handler},
                          CrispSession::Input::kTerminal);
    attached.Say("hello\n");
    EXPECT_THAT(attached.ReadUntil("<hello>\r\n"), HasSubstr("/dev/pts/0\r\n")) << handler;

    CrispSession exec(daemon().endpoint(),
                      {"exec", "-it", handler, "sh", "-c",
                       "read x; until stty size | grep '40 100'; do sleep 0.05; done; tty; exit 7"},
                      CrispSession::Input::kTerminal);
    exec.Say("a\n");
    EXPECT_THAT(exec.ReadUntil("/dev/pts/1\r\n"), HasSubstr("40 100\r\n")) << handler;
    EXPECT_EQ(exec.Wait(), 7);
  }
}

TEST_F(Handlers, ResourcesAreLimitedAndUpdated) {
  constexpr int64_t kMiB = 1 << 20;
  for (const char* handler : {"crun", "runc"}) {
    const Pod pod = RunPodWith(handler);
    v1::ContainerConfig config =
        ContainerConfig("main", Shell("trap 'exit 0' TERM; while :; do sleep 0.1; done"));
    config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(64 * kMiB);
    v1::HugepageLimit* pages = config.mutable_linux()->mutable_resources()->add_hugepage_limits();
    pages->set_page_size("2MB");
    const std::string id = Create(pod, config);
    EXPECT_THAT(LimitMemory(id, 72 * kMiB), IsOk());
    EXPECT_THAT(cri().StartContainer(id), IsOk());
    EXPECT_EQ(MemoryLimit(id), Cat(72 * kMiB)) << handler;
    EXPECT_THAT(LimitMemory(id, 80 * kMiB), IsOk());
    EXPECT_EQ(MemoryLimit(id), Cat(80 * kMiB)) << handler;
    v1::ContainerStatsRequest request;
    request.set_container_id(id);
    const v1::ContainerStats stats =
        Must(cri().Call(&CriClient::RuntimeStub::ContainerStats, request)).stats();
    EXPECT_GT(stats.cpu().usage_core_nano_seconds().value(), 0u) << handler;
    EXPECT_GT(stats.memory().usage_bytes().value(), 0u) << handler;
  }
}

TEST_F(Handlers, ContainersOutliveTheDaemon) {
  const Pod pod = RunPodWith("crun");
  const std::string stays = Start(pod, "stays", Shell("echo on; exec sleep 1000"));
  const std::string ends = Start(pod, "ends", Shell("sleep 0.5; echo last; exit 9"));
  daemon().Kill();
  ASSERT_THAT(daemon().Start(), IsOk());
  EXPECT_EQ(Exec(stays, "echo here"), "here");
  EXPECT_EQ(WaitExited(ends).exit_code(), 9);
  EXPECT_EQ(LogText(LogPath(pod, "ends")), "last\n");
}

TEST_F(Handlers, ProgramsThatDoNotExistAreNamed) {
  const Pod pod = RunPodWith("crun");
  const std::string id = Create(pod, ContainerConfig("absent", {"/bin/absent"}));
  const absl::Status status = cri().StartContainer(id);
  EXPECT_THAT(status, Fails(StatusCode::kNotFound, "/bin/absent"));
  EXPECT_THAT(status, Fails(StatusCode::kNotFound, "/usr/bin/crun"));
  EXPECT_EQ(Must(cri().ContainerStatus(id)).reason(), "StartError");
}

TEST_F(Handlers, ARuntimeThatDoesNotExistIsNamed) {
  const Pod pod = RunPodWith("broken");
  const std::string id = Create(pod, ContainerConfig("main", {"true"}));
  EXPECT_THAT(cri().StartContainer(id),
              Fails(StatusCode::kFailedPrecondition, "/nowhere/crun cannot be executed"));
}

TEST_F(Handlers, AnUnknownHandlerIsRefused) {
  EXPECT_THAT(cri().RunPod(PodConfig("unknown"), "kata"),
              Fails(StatusCode::kInvalidArgument, "there is no runtime handler \"kata\""));
}

TEST_F(Handlers, StatusListsThem) {
  const auto status = Must(cri().Call(&CriClient::RuntimeStub::Status, v1::StatusRequest()));
  std::set<std::string> names;
  for (const v1::RuntimeHandler& handler : status.runtime_handlers()) {
    names.insert(handler.name());
    EXPECT_TRUE(handler.features().recursive_read_only_mounts()) << handler.name();
  }
  EXPECT_THAT(names,
              testing::IsSupersetOf({"", "crisp", "native", "own", "crun", "runc", "broken"}));
}

}  // namespace
}  // namespace crisp
