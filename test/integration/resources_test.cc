// Limits of pods and containers that live: UpdateContainerResources, UpdatePodSandboxResources and
// UpdateRuntimeConfig, and the in-place resize of a pod in the steps that kubelet takes.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <list>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using absl::StatusCode;
using testing::StartsWith;
using Limits = v1::LinuxContainerResources;

constexpr int64_t kMiB = 1 << 20;

// A pod's cgroup as kubelet makes and sizes it, in whatever version the host has.
class KubeletPod {
 public:
  explicit KubeletPod(const std::string& name) : path_(Cat("/kubepods/", name)) {
    for (const std::string& root : Roots()) {
      mkdir(Cat(root, "/kubepods").c_str(), 0755);
      EXPECT_EQ(mkdir(Cat(root, path_).c_str(), 0755), 0) << root << path_;
    }
  }
  void Remove() const {
    for (const std::string& root : Roots()) {
      EXPECT_EQ(rmdir(Cat(root, path_).c_str()), 0) << root << path_;
      rmdir(Cat(root, "/kubepods").c_str());
    }
  }
  const std::string& path() const { return path_; }

  static bool V2() { return PathExists("/sys/fs/cgroup/cgroup.controllers"); }
  absl::Status SetMemory(int64_t bytes) const {
    return WriteExisting(File("memory", V2() ? "memory.max" : "memory.limit_in_bytes"), Cat(bytes));
  }
  absl::Status SetQuota(int64_t quota) const {
    return V2() ? WriteExisting(File("cpu", "cpu.max"), Cat(quota, " 100000"))
                : WriteExisting(File("cpu", "cpu.cfs_quota_us"), Cat(quota));
  }
  // Of a container in it.
  std::string Memory(const std::string& container) const {
    return Read("memory", Cat(container, "/", V2() ? "memory.max" : "memory.limit_in_bytes"));
  }
  std::string Swap(const std::string& container) const {
    return Read("memory",
                Cat(container, "/", V2() ? "memory.swap.max" : "memory.memsw.limit_in_bytes"));
  }
  std::string Quota(const std::string& container) const {
    const std::string text =
        Read("cpu", Cat(container, "/", V2() ? "cpu.max" : "cpu.cfs_quota_us"));
    return text.substr(0, text.find(' '));
  }

 private:
  static std::vector<std::string> Roots() {
    if (V2()) return {"/sys/fs/cgroup"};
    std::vector<std::string> roots;
    for (const auto& entry : std::filesystem::directory_iterator("/sys/fs/cgroup")) {
      if (!entry.is_directory() || entry.is_symlink()) continue;
      if (PathExists(entry.path() / "cgroup.procs")) roots.push_back(entry.path());
    }
    return roots;
  }
  std::string File(const std::string& controller, const std::string& file) const {
    return Cat("/sys/fs/cgroup", V2() ? "" : Cat("/", controller), path_, "/", file);
  }
  std::string Read(const std::string& controller, const std::string& file) const {
    return std::string(Trim(ReadFile(File(controller, file)).value_or("absent")));
  }

  const std::string path_;
};

class Resources : public NodeTest {
 protected:
  void TearDown() override {
    RemoveAllPods();
    for (const KubeletPod& pod : kubelets_) pod.Remove();
    NodeTest::TearDown();
  }
  absl::Status Update(const std::string& id, const Limits& limits) {
    v1::UpdateContainerResourcesRequest request;
    request.set_container_id(id);
    *request.mutable_linux() = limits;
    return cri().Call(&CriClient::RuntimeStub::UpdateContainerResources, request).status();
  }
  absl::Status UpdatePod(const std::string& id, const Limits& resources) {
    v1::UpdatePodSandboxResourcesRequest request;
    request.set_pod_sandbox_id(id);
    *request.mutable_resources() = resources;
    return cri().Call(&CriClient::RuntimeStub::UpdatePodSandboxResources, request).status();
  }
  absl::Status UpdateConfig(const std::string& cidrs) {
    v1::UpdateRuntimeConfigRequest request;
    request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr(cidrs);
    return cri().Call(&CriClient::RuntimeStub::UpdateRuntimeConfig, request).status();
  }
  Limits Shown(const std::string& id) {
    return Must(cri().ContainerStatus(id)).resources().linux();
  }
  const KubeletPod& AddKubeletPod(const std::string& name) {
    kubelets_.emplace_back(name);
    return kubelets_.back();
  }
  static Limits Make(int64_t memory, int64_t quota) {
    Limits limits;
    limits.set_memory_limit_in_bytes(memory);
    limits.set_cpu_quota(quota);
    if (quota != 0) limits.set_cpu_period(100000);
    return limits;
  }

  std::list<KubeletPod> kubelets_;
};

// What kubelet does for a resize in place: raising, the pod's cgroup goes first; lowering, the
// container's.
TEST_F(Resources, APodIsResizedInPlaceAsKubeletDoesIt) {
  const KubeletPod& kubelet = AddKubeletPod("pod-resize");
  v1::PodSandboxConfig config = PodConfig("resize");
  config.mutable_linux()->set_cgroup_parent(kubelet.path());
  const Pod pod = RunPod(config);
  v1::ContainerConfig wanted =
      ContainerConfig("main", Shell("trap 'exit 0' TERM; while :; do sleep 0.05; done"));
  *wanted.mutable_linux()->mutable_resources() = Make(64 * kMiB, 50000);
  wanted.mutable_linux()->mutable_resources()->set_oom_score_adj(500);
  const std::string id = Start(pod, wanted);
  ASSERT_THAT(kubelet.SetMemory(64 * kMiB), IsOk());
  ASSERT_THAT(kubelet.SetQuota(50000), IsOk());
  const int64_t pid = std::stol(Exec(id, "cat /proc/1/stat | cut -d' ' -f22"));

  // Up.
  ASSERT_THAT(UpdatePod(pod.id, Make(128 * kMiB, 100000)), IsOk());
  ASSERT_THAT(kubelet.SetMemory(128 * kMiB), IsOk());
  ASSERT_THAT(kubelet.SetQuota(100000), IsOk());
  Limits limits = Make(128 * kMiB, 100000);
  limits.set_oom_score_adj(400);  // kubelet sends it along; a live process keeps its own
  ASSERT_THAT(Update(id, limits), IsOk());
  EXPECT_EQ(kubelet.Memory(id), Cat(128 * kMiB));
  EXPECT_EQ(kubelet.Quota(id), "100000");
  EXPECT_EQ(Shown(id).memory_limit_in_bytes(), 128 * kMiB);
  EXPECT_EQ(Shown(id).cpu_quota(), 100000);
  EXPECT_EQ(Shown(id).oom_score_adj(), 500);

  // Down.
  ASSERT_THAT(Update(id, Make(96 * kMiB, 20000)), IsOk());
  ASSERT_THAT(kubelet.SetQuota(20000), IsOk());
  ASSERT_THAT(kubelet.SetMemory(96 * kMiB), IsOk());
  ASSERT_THAT(UpdatePod(pod.id, Make(96 * kMiB, 20000)), IsOk());
  EXPECT_EQ(kubelet.Memory(id), Cat(96 * kMiB));
  EXPECT_EQ(kubelet.Quota(id), "20000");

  // The wrong way round: version 1 refuses a container more processor than its pod has, and then
  // the memory stays as well. The pod's own cgroup was never touched.
  if (!KubeletPod::V2()) {
    EXPECT_THAT(Update(id, Make(100 * kMiB, 40000)), Fails(StatusCode::kInvalidArgument, "40000"));
    EXPECT_EQ(kubelet.Memory(id), Cat(96 * kMiB));
    EXPECT_EQ(kubelet.Quota(id), "20000");
  }
  EXPECT_EQ(Shown(id).memory_limit_in_bytes(), 96 * kMiB);
  EXPECT_EQ(Shown(id).cpu_quota(), 20000);
  EXPECT_EQ(std::stol(Exec(id, "cat /proc/1/stat | cut -d' ' -f22")), pid) << "the same process";
  EXPECT_EQ(Exec(id, "cat /proc/1/oom_score_adj"), "500");

  daemon().Kill();
  ASSERT_THAT(daemon().Start(), IsOk());
  EXPECT_EQ(Shown(id).memory_limit_in_bytes(), 96 * kMiB);
  EXPECT_EQ(kubelet.Memory(id), Cat(96 * kMiB));
}

TEST_F(Resources, ALimitBelowWhatIsInUseIsRefusedAndTheContainerLives) {
  const KubeletPod& kubelet = AddKubeletPod("pod-usage");
  v1::PodSandboxConfig config = PodConfig("usage");
  config.mutable_linux()->set_cgroup_parent(kubelet.path());
  const Pod pod = RunPod(config);
  v1::ContainerConfig wanted = ContainerConfig(
      "main", Shell("dd if=/dev/zero of=/dev/shm/x bs=1M count=40 2>/dev/null; echo full; "
                    "trap 'exit 0' TERM; while :; do sleep 0.05; done"));
  *wanted.mutable_linux()->mutable_resources() = Make(128 * kMiB, 0);
  const std::string id = Start(pod, wanted);
  ASSERT_TRUE(WaitUntil([&] { return LogText(LogPath(pod, "main")) == "full\n"; }));
  Limits limits = Make(20 * kMiB, 0);
  limits.set_cpu_shares(77);
  EXPECT_THAT(Update(id, limits), Fails(StatusCode::kFailedPrecondition, Cat(20 * kMiB)));
  EXPECT_EQ(kubelet.Memory(id), Cat(128 * kMiB));
  EXPECT_NE(Shown(id).cpu_shares(), 77);
  EXPECT_EQ(Must(cri().ContainerStatus(id)).state(), v1::CONTAINER_RUNNING);
  EXPECT_THAT(Update(id, Make(64 * kMiB, 0)), IsOk());
  EXPECT_EQ(Must(cri().ContainerStatus(id)).state(), v1::CONTAINER_RUNNING);
}

TEST_F(Resources, SwapFollowsMemoryUnlessItIsNamed) {
  const KubeletPod& kubelet = AddKubeletPod("pod-swap");
  v1::PodSandboxConfig config = PodConfig("swap");
  config.mutable_linux()->set_cgroup_parent(kubelet.path());
  const Pod pod = RunPod(config);
  const std::string id = StartIdle(pod);
  if (kubelet.Swap(id) == "absent") {
    // Without swap accounting the limit is taken, and shown as none.
    ASSERT_THAT(Update(id, Make(64 * kMiB, 0)), IsOk());
    EXPECT_EQ(Shown(id).memory_swap_limit_in_bytes(), 0);
    return;
  }
  const auto both = [](int64_t memory, int64_t swap) {
    return Cat(KubeletPod::V2() ? swap - memory : swap);
  };
  ASSERT_THAT(Update(id, Make(64 * kMiB, 0)), IsOk());
  EXPECT_EQ(kubelet.Swap(id), both(64 * kMiB, 64 * kMiB));
  EXPECT_EQ(Shown(id).memory_swap_limit_in_bytes(), 64 * kMiB);
  Limits limits;
  limits.set_memory_swap_limit_in_bytes(80 * kMiB);
  ASSERT_THAT(Update(id, limits), IsOk());
  EXPECT_EQ(kubelet.Memory(id), Cat(64 * kMiB));
  EXPECT_EQ(kubelet.Swap(id), both(64 * kMiB, 80 * kMiB));
  limits.set_memory_swap_limit_in_bytes(40 * kMiB);
  EXPECT_THAT(Update(id, limits), Fails(StatusCode::kInvalidArgument, "memory_swap_limit"));
  ASSERT_THAT(Update(id, Make(96 * kMiB, 0)), IsOk());
  EXPECT_EQ(kubelet.Swap(id), both(96 * kMiB, 96 * kMiB));
  limits = Make(128 * kMiB, 0);
  limits.set_memory_swap_limit_in_bytes(-1);
  ASSERT_THAT(Update(id, limits), IsOk());
  EXPECT_EQ(Shown(id).memory_swap_limit_in_bytes(), -1);
}

TEST_F(Resources, WhoHasNoResourcesToUpdate) {
  EXPECT_THAT(Update("0123", {}), Fails(StatusCode::kNotFound, "0123"));
  EXPECT_THAT(UpdatePod("0123", {}), Fails(StatusCode::kNotFound, "0123"));
  const Pod pod = RunPod("ended");
  const std::string id = Start(pod, "main", {"true"});
  WaitExited(id);
  EXPECT_THAT(Update(id, Make(64 * kMiB, 0)), Fails(StatusCode::kFailedPrecondition, "has ended"));
  const std::string idle = StartIdle(pod);
  Limits limits;
  (*limits.mutable_unified())["cgroup.procs"] = "1";
  EXPECT_THAT(Update(idle, limits), Fails(StatusCode::kInvalidArgument, "unified"));
  limits.Clear();
  limits.set_cpuset_cpus("zero");
  EXPECT_THAT(Update(idle, limits), Fails(StatusCode::kInvalidArgument, "cpuset_cpus"));
}

// Killed wherever it is in a row of updates, the daemon shows afterwards what the cgroup has.
TEST_F(Resources, AKilledDaemonLeavesNoUpdateHalfMade) {
  const KubeletPod& kubelet = AddKubeletPod("pod-kill");
  v1::PodSandboxConfig config = PodConfig("kill");
  config.mutable_linux()->set_cgroup_parent(kubelet.path());
  const Pod pod = RunPod(config);
  const std::string id = StartIdle(pod);
  ASSERT_THAT(Update(id, Make(64 * kMiB, 44000)), IsOk());
  for (int round = 0; round < 6; ++round) {
    const pid_t daemon_pid = daemon().pid();
    std::thread killer([&] {
      absl::SleepFor(absl::Microseconds(2000 + 1700 * round));
      kill(daemon_pid, SIGKILL);
    });
    for (int i = 0; Update(id, Make((40 + i % 64) * kMiB, 20000 + 1000 * (i % 64))).ok(); ++i) {
    }
    killer.join();
    daemon().Kill();
    ASSERT_THAT(daemon().Start(), IsOk());
    const Limits shown = Shown(id);
    EXPECT_EQ(kubelet.Memory(id), Cat(shown.memory_limit_in_bytes()));
    EXPECT_EQ(kubelet.Quota(id), Cat(shown.cpu_quota()));
    if (!KubeletPod::V2()) EXPECT_EQ(kubelet.Swap(id), Cat(shown.memory_swap_limit_in_bytes()));
    // One update's values belong together.
    EXPECT_EQ(shown.cpu_quota() / 1000 - 20, shown.memory_limit_in_bytes() / kMiB - 40);
    ASSERT_THAT(Update(id, Make(64 * kMiB, 44000)), IsOk());
  }
}

TEST_F(Resources, TheClustersRangeIsForNewPods) {
  const std::string old = Must(cri().PodStatus(RunPod("old").id)).network().ip();
  ASSERT_THAT(UpdateConfig("10.93.0.0/24"), IsOk());
  EXPECT_THAT(UpdateConfig("10.93.0.0/240"), Fails(StatusCode::kInvalidArgument, "10.93.0.0/240"));
  EXPECT_THAT(UpdateConfig("10.93.0.0/24,10.94.0.0/24"), Fails(StatusCode::kInvalidArgument, ""));
  const Pod fresh = RunPod("fresh");
  EXPECT_THAT(Must(cri().PodStatus(fresh.id)).network().ip(), StartsWith("10.93.0."));
  daemon().Kill();
  ASSERT_THAT(daemon().Start(), IsOk());
  const Pod later = RunPod("later");
  EXPECT_THAT(Must(cri().PodStatus(later.id)).network().ip(), StartsWith("10.93.0."));
  EXPECT_EQ(Exec(StartIdle(later), Cat("ping -c 1 -W 3 ", old, " >/dev/null && echo there")),
            "there");
}

}  // namespace
}  // namespace crisp
