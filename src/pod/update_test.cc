// UpdateContainerResources, UpdatePodSandboxResources and UpdateRuntimeConfig, with everything real
// below, and what a restart makes of them.
#include "base/file.h"
#include "base/text.h"
#include "gmock/gmock.h"
#include "kernel/cgroup.h"
#include "pod/pod_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Resources = v1::LinuxContainerResources;

class UpdateTest : public PodTest {
 protected:
  void SetUp() override {
    PodTest::SetUp();
    absl::StatusOr<CgroupTree> tree = CgroupTree::Detect();
    ASSERT_TRUE(tree.ok());
    tree_ = *std::move(tree);
  }
  absl::Status Update(const std::string& id, const Resources& resources) {
    v1::UpdateContainerResourcesRequest request;
    request.set_container_id(id);
    *request.mutable_linux() = resources;
    return runtime_->UpdateContainerResources(request, Call{}).status();
  }
  absl::Status UpdateConfig(const std::string& cidr) {
    v1::UpdateRuntimeConfigRequest request;
    request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr(cidr);
    return runtime_->UpdateRuntimeConfig(request, Call{}).status();
  }
  Json Limits(const std::string& id) {
    return ContainerInfo(id)["runtimeSpec"]["linux"]["resources"];
  }
  // A file of the container's cgroup in the hierarchy with this controller; v1's and v2's name.
  std::string CgroupFile(const std::string& id, std::string_view controller, const char* v1_file,
                         const char* v2_file) {
    const CgroupHierarchy* hierarchy = tree_.WithController(controller);
    const Json info = ContainerInfo(id);
    return Cat(hierarchy->folder, JsonString(info, "cgroupPath"), "/",
               hierarchy->v2 ? v2_file : v1_file);
  }
  std::string MemoryLimit(const std::string& id) {
    const std::string path = CgroupFile(id, "memory", "memory.limit_in_bytes", "memory.max");
    return std::string(Trim(ReadFile(path).value_or("")));
  }
  static Resources Memory(int64_t limit) {
    Resources resources;
    resources.set_memory_limit_in_bytes(limit);
    return resources;
  }

  CgroupTree tree_;
};

TEST_F(UpdateTest, ACreatedContainerStartsWithTheNewLimits) {
  const std::string pod = RunPod("web");
  auto request = ContainerRequest(pod, "main", {"sleep", "1000"});
  request.mutable_config()->mutable_linux()->mutable_resources()->set_cpu_shares(300);
  request.mutable_config()->mutable_linux()->mutable_resources()->set_cpu_quota(50000);
  const std::string id = Create(request);
  // Effective from the start: the kernel's period stands beside a quota.
  EXPECT_EQ(Status(id).resources().linux().cpu_period(), 100000);
  Resources update = Memory(48 << 20);
  update.set_oom_score_adj(700);
  const absl::Status updated = Update(id, update);
  ASSERT_TRUE(updated.ok()) << updated;
  Restart();
  const Resources shown = Status(id).resources().linux();
  EXPECT_EQ(shown.memory_limit_in_bytes(), 48 << 20);
  EXPECT_EQ(shown.memory_swap_limit_in_bytes(), 48 << 20);
  EXPECT_EQ(shown.cpu_shares(), 300);
  EXPECT_EQ(shown.oom_score_adj(), 700);
  EXPECT_EQ(Limits(id)["memory"]["limit"], 48 << 20);
  EXPECT_TRUE(Limits(id).contains("devices"));
  ASSERT_TRUE(Start(id).ok());
  EXPECT_EQ(MemoryLimit(id), Cat(48 << 20));
  EXPECT_EQ(Exec(id, {"cat", "/proc/1/oom_score_adj"})->stdout(), "700\n");
}

TEST_F(UpdateTest, ARunningContainerGetsThemAtOnceAndForGood) {
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "1000"});
  const int64_t score = Status(id).resources().linux().oom_score_adj();
  Resources update = Memory(64 << 20);
  update.set_cpu_shares(200);
  update.set_cpu_quota(20000);
  update.set_cpu_period(50000);
  update.set_oom_score_adj(900);
  const absl::Status updated = Update(id, update);
  ASSERT_TRUE(updated.ok()) << updated;
  EXPECT_EQ(MemoryLimit(id), Cat(64 << 20));
  for (int round = 0; round < 2; ++round) {
    const Resources shown = Status(id).resources().linux();
    EXPECT_EQ(shown.memory_limit_in_bytes(), 64 << 20);
    EXPECT_EQ(shown.cpu_shares(), 200);
    EXPECT_EQ(shown.cpu_quota(), 20000);
    EXPECT_EQ(shown.cpu_period(), 50000);
    EXPECT_EQ(shown.oom_score_adj(), score) << "a live process keeps its own";
    EXPECT_EQ(Limits(id)["cpu"]["shares"], 200);
    Restart();
  }
  // Fields that are absent change nothing.
  update.Clear();
  update.set_cpu_shares(400);
  ASSERT_TRUE(Update(id, update).ok());
  EXPECT_EQ(Status(id).resources().linux().memory_limit_in_bytes(), 64 << 20);
  EXPECT_EQ(MemoryLimit(id), Cat(64 << 20));
  EXPECT_TRUE(Update(id, {}).ok());
}

TEST_F(UpdateTest, ARefusedUpdateChangesNothing) {
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"sleep", "1000"});
  ASSERT_TRUE(Update(id, Memory(64 << 20)).ok());
  Resources update = Memory(96 << 20);
  update.set_cpuset_cpus("4095");
  update.set_cpu_shares(222);
  absl::Status refused = Update(id, update);
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.message()), HasSubstr("4095"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("cpuset.cpus"));
  EXPECT_EQ(MemoryLimit(id), Cat(64 << 20));
  EXPECT_EQ(Status(id).resources().linux().memory_limit_in_bytes(), 64 << 20);
  EXPECT_EQ(Limits(id)["memory"]["limit"], 64 << 20);
  refused = Update(id, Memory(1 << 12));
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("in use"));
  update.Clear();
  update.set_cpu_period(7);
  EXPECT_EQ(Update(id, update).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Status(id).state(), v1::CONTAINER_RUNNING);
}

TEST_F(UpdateTest, StatesThatHaveNoResources) {
  EXPECT_EQ(Update("absent", {}).code(), absl::StatusCode::kNotFound);
  const std::string pod = RunPod("web");
  const std::string id = Running(pod, "main", {"true"});
  Await(id, v1::CONTAINER_EXITED);
  const absl::Status ended = Update(id, Memory(64 << 20));
  EXPECT_EQ(ended.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(ended.message()), HasSubstr("has ended"));
}

TEST_F(UpdateTest, AnInterruptedUpdateIsTakenBack) {
  const std::string pod = RunPod("web");
  const std::string running = Running(pod, "one", {"sleep", "1000"});
  const std::string created = Create(pod, "two", {"sleep", "1000"});
  ASSERT_TRUE(Update(running, Memory(64 << 20)).ok());
  ASSERT_TRUE(Update(created, Memory(64 << 20)).ok());
  const std::string file = CgroupFile(running, "cpu", "cpu.shares", "cpu.weight");
  const std::string before = std::string(Trim(*ReadFile(file)));
  const std::string config = Cat(JsonString(ContainerInfo(created), "bundle"), "/config.json");
  CloseRuntime();
  // As if killed after its writes, before its record.
  EditContainer(running, [&](record::Container& container) {
    record::CgroupChange& change = *container.mutable_update()->add_changes();
    change.set_folder(FolderOf(file));
    change.set_file(BaseName(file));
    change.set_value("77");
    change.set_before(before);
  });
  ASSERT_TRUE(WriteExisting(file, "77").ok());
  EditContainer(created, [](record::Container& container) { container.mutable_update(); });
  Json changed = *ParseJson(*ReadFile(config), config);
  changed["linux"]["resources"]["memory"]["limit"] = 1 << 30;
  ASSERT_TRUE(ReplaceFile(config, JsonText(changed), 0600).ok());
  OpenRuntime();
  EXPECT_EQ(std::string(Trim(*ReadFile(file))), before);
  EXPECT_EQ(Limits(created)["memory"]["limit"], 64 << 20);
  EXPECT_EQ(Status(created).resources().linux().memory_limit_in_bytes(), 64 << 20);
  CloseRuntime();
  EditContainer(running,
                [](record::Container& container) { EXPECT_FALSE(container.has_update()); });
  OpenRuntime();
  EXPECT_TRUE(Update(running, Memory(128 << 20)).ok());
}

TEST_F(UpdateTest, ThePodsOwnCgroupFollowsAndKubeletsDoesNot) {
  const auto update = [&](const std::string& id, int64_t limit, int64_t period = 0) {
    v1::UpdatePodSandboxResourcesRequest request;
    request.set_pod_sandbox_id(id);
    request.mutable_overhead()->set_memory_limit_in_bytes(1 << 20);
    request.mutable_resources()->set_memory_limit_in_bytes(limit);
    request.mutable_resources()->set_cpu_period(period);
    return runtime_->UpdatePodSandboxResources(request, Call{}).status();
  };
  EXPECT_EQ(update("absent", 1).code(), absl::StatusCode::kNotFound);
  const std::string own = RunPod("own");
  const std::string id = Running(own, "main", {"sleep", "1000"});
  const std::string limit =
      Cat(FolderOf(FolderOf(CgroupFile(id, "memory", "memory.limit_in_bytes", "memory.max"))), "/",
          BaseName(CgroupFile(id, "memory", "memory.limit_in_bytes", "memory.max")));
  ASSERT_TRUE(update(own, 63 << 20).ok());
  EXPECT_EQ(Trim(*ReadFile(limit)), Cat(64 << 20));
  // What cannot be is noted down all the same.
  EXPECT_TRUE(update(own, 4096, 7).ok());
  EXPECT_EQ(Trim(*ReadFile(limit)), Cat(64 << 20));
  Restart();
  EXPECT_EQ(PodInfo(own)["resources"]["memory_limit_in_bytes"], "4096");
  EXPECT_EQ(PodInfo(own)["overhead"]["memory_limit_in_bytes"], Cat(1 << 20));

  auto request = PodRequest("kubelets");
  request.mutable_config()->mutable_linux()->set_cgroup_parent("/kubepods/pod1");
  const std::string named = RunPod(request);
  const std::string inside = Running(named, "main", {"sleep", "1000"});
  ASSERT_TRUE(update(named, 63 << 20).ok());
  const std::string theirs =
      FolderOf(FolderOf(CgroupFile(inside, "memory", "memory.limit_in_bytes", "memory.max")));
  EXPECT_NE(Trim(ReadFile(Cat(theirs, "/", BaseName(limit))).value_or("")), Cat(64 << 20));
  EXPECT_EQ(PodInfo(named)["resources"]["memory_limit_in_bytes"], Cat(63 << 20));
  EXPECT_TRUE(RemovePod(named).ok());
  EXPECT_TRUE(Cgroup(tree_, "/kubepods").Remove().ok());
}

TEST_F(UpdateTest, NewPodsGetAddressesOfTheClustersRange) {
  const std::string before = RunPod("before");
  const std::string old = PodStatus(before).network().ip();
  ASSERT_TRUE(UpdateConfig("10.93.7.0/24").ok());
  EXPECT_TRUE(UpdateConfig("10.93.7.0/24").ok());
  EXPECT_TRUE(UpdateConfig("").ok());
  for (const char* wrong :
       {"10.93.7.0", "x", "10.1.0.0/16,10.2.0.0/16", "127.0.0.0/8", "1.1.1.1/32"}) {
    EXPECT_EQ(UpdateConfig(wrong).code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
  EXPECT_THAT(PodStatus(RunPod("after")).network().ip(), StartsWith("10.93.7."));
  EXPECT_EQ(PodStatus(before).network().ip(), old);
  Restart();
  EXPECT_THAT(PodStatus(RunPod("later")).network().ip(), StartsWith("10.93.7."));
  EXPECT_EQ(PodStatus(before).network().ip(), old);
}

}  // namespace
}  // namespace crisp
