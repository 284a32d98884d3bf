#include "kernel/cgroup_limits.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "kernel/cgroup_device_filter.h"
#include "kernel/cgroup_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

TEST(CpuWeight, FollowsShares) {
  EXPECT_EQ(CpuWeightOfShares(0), 0u);
  EXPECT_EQ(CpuWeightOfShares(1), 1u);
  EXPECT_EQ(CpuWeightOfShares(2), 1u);
  EXPECT_EQ(CpuWeightOfShares(1024), 100u);
  EXPECT_EQ(CpuWeightOfShares(262144), 10000u);
  EXPECT_EQ(CpuWeightOfShares(1 << 30), 10000u);
  EXPECT_EQ(IoWeightOfBlkio(10), 1u);
  EXPECT_EQ(IoWeightOfBlkio(1000), 10000u);
}

using CgroupLimitsTest = CgroupTest;

INSTANTIATE_TEST_SUITE_P(Trees, CgroupLimitsTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Unified" : "Host"; });

TEST_P(CgroupLimitsTest, MemoryLimitKillsAndIsCounted) {
  if (!Has("memory")) GTEST_SKIP() << "no memory controller in this tree";
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  const int64_t limit = 16 << 20;
  const absl::Status applied = cgroup.Apply({{"memory", {{"limit", limit}, {"swap", limit}}}});
  ASSERT_TRUE(applied.ok()) << applied;
  EXPECT_EQ(Read("memory", IsV2("memory") ? "memory.max" : "memory.limit_in_bytes"), Cat(limit));
  EXPECT_EQ(cgroup.OomKills(), 0u);
  const pid_t child = Spawn(cgroup, [] {
    for (int i = 0; i < 64; ++i) {
      void* memory = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
      if (memory == MAP_FAILED) return 3;
    }
    return 0;
  });
  const int status = Wait(child);
  EXPECT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(cgroup.OomKills(), 1u);
  // Both ways: the limit up past the old swap limit, and down again.
  EXPECT_TRUE(cgroup.Apply({{"memory", {{"limit", 2 * limit}, {"swap", 2 * limit}}}}).ok());
  EXPECT_TRUE(cgroup.Apply({{"memory", {{"limit", limit}, {"swap", limit}}}}).ok());
  ASSERT_TRUE(cgroup.Remove().ok());
  EXPECT_EQ(cgroup.OomKills(), 0u) << "gone";
}

// kubelet asks for it by "unified": a container that ran out of memory does not go on in part.
TEST_P(CgroupLimitsTest, MemoryOomGroupKillsAllButTheExempt) {
  if (!Has("memory") || !IsV2("memory")) GTEST_SKIP() << "no memory controller of version 2";
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  const int64_t limit = 16 << 20;
  const absl::Status applied = cgroup.Apply(
      {{"memory", {{"limit", limit}, {"swap", limit}}}, {"unified", {{"memory.oom.group", "1"}}}});
  ASSERT_TRUE(applied.ok()) << applied;
  const pid_t idle = Spawn(cgroup, Sleep);
  const pid_t exempt = Spawn(
      cgroup, [] { return WriteExisting("/proc/self/oom_score_adj", "-1000").ok() ? Sleep() : 1; });
  Cgroup exec = cgroup.ForExec("1a2b");
  ASSERT_TRUE(exec.Create().ok());
  const pid_t executed = Spawn(exec, Sleep);
  const pid_t greedy = Spawn(cgroup, [] {
    while (mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) != MAP_FAILED) {
    }
    return 0;
  });
  for (const pid_t child : {greedy, idle, executed}) EXPECT_EQ(WTERMSIG(Wait(child)), SIGKILL);
  EXPECT_EQ(waitpid(exempt, nullptr, WNOHANG), 0);
  EXPECT_GE(cgroup.OomKills(), 3u);
}

TEST_P(CgroupLimitsTest, PidsLimitStopsForks) {
  if (!Has("pids")) GTEST_SKIP() << "no pids controller in this tree";
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  ASSERT_TRUE(cgroup.Apply({{"pids", {{"limit", 3}}}}).ok());
  const pid_t child = Spawn(cgroup, [] {
    int made = 0;
    for (int i = 0; i < 6; ++i) {
      const pid_t next = fork();
      if (next == 0) Sleep();
      if (next > 0) ++made;
    }
    return made;
  });
  EXPECT_EQ(WEXITSTATUS(Wait(child)), 2);
  EXPECT_TRUE(cgroup.Apply({{"pids", {{"limit", -1}}}}).ok());
  EXPECT_EQ(Read("pids", "pids.max"), "max");
}

TEST_P(CgroupLimitsTest, CpuLimitsAreWritten) {
  if (!Has("cpu")) GTEST_SKIP() << "no cpu controller in this tree";
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  const absl::Status applied =
      cgroup.Apply({{"cpu", {{"shares", 512}, {"quota", 20000}, {"period", 50000}}}});
  ASSERT_TRUE(applied.ok()) << applied;
  if (IsV2("cpu")) {
    EXPECT_EQ(Read("cpu", "cpu.weight"), "59");
    EXPECT_EQ(Read("cpu", "cpu.max"), "20000 50000");
  } else {
    EXPECT_EQ(Read("cpu", "cpu.shares"), "512");
    EXPECT_EQ(Read("cpu", "cpu.cfs_quota_us"), "20000");
    EXPECT_EQ(Read("cpu", "cpu.cfs_period_us"), "50000");
  }
  // A quota alone keeps the period, -1 lifts it.
  ASSERT_TRUE(cgroup.Apply({{"cpu", {{"quota", 30000}}}}).ok());
  ASSERT_TRUE(cgroup.Apply({{"cpu", {{"quota", -1}}}}).ok());
  if (IsV2("cpu")) {
    EXPECT_EQ(Read("cpu", "cpu.max"), "max 50000");
  } else {
    EXPECT_EQ(Read("cpu", "cpu.cfs_quota_us"), "-1");
  }
}

TEST_P(CgroupLimitsTest, CpusetOfParentsIsFilled) {
  if (!Has("cpuset")) GTEST_SKIP() << "no cpuset controller in this tree";
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  if (!IsV2("cpuset")) {
    EXPECT_NE(Read("cpuset", "cpuset.cpus"), "");
    EXPECT_NE(Read("cpuset", "cpuset.mems"), "");
  }
  ASSERT_TRUE(cgroup.Apply({{"cpu", {{"cpus", "0"}, {"mems", "0"}}}}).ok());
  EXPECT_EQ(Read("cpuset", "cpuset.cpus"), "0");
  const absl::Status absent = cgroup.Apply({{"cpu", {{"cpus", "4095"}}}});
  EXPECT_FALSE(absent.ok());
  EXPECT_THAT(std::string(absent.message()), HasSubstr("4095"));
}

TEST_P(CgroupLimitsTest, HugePageLimits) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  const absl::Status applied = cgroup.Apply(
      {{"hugepageLimits",
        {{{"pageSize", "2MB"}, {"limit", 4194304u}}, {{"pageSize", "3MB"}, {"limit", 0u}}}}});
  ASSERT_TRUE(applied.ok()) << applied;
  EXPECT_FALSE(cgroup.warnings().empty()) << "nobody has pages of 3 MB";
  if (Has("hugetlb") && IsV2("hugetlb")) {
    EXPECT_EQ(Read("hugetlb", "hugetlb.2MB.max"), "4194304");
    EXPECT_FALSE(cgroup.Apply({{"hugepageLimits", {{{"pageSize", "../x"}, {"limit", 1}}}}}).ok());
  }
}

TEST_P(CgroupLimitsTest, UnifiedWritesFilesOfControllersAlone) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  const bool v2 = tree_.Unified() != nullptr;
  const absl::Status absent = cgroup.Apply({{"unified", {{"nothing.max", "1"}}}});
  EXPECT_EQ(absent.code(), absl::StatusCode::kFailedPrecondition);
  if (!v2) return;
  for (const char* name :
       {"../memory.max", "cgroup.procs", "cgroup.subtree_control", "plain", ""}) {
    EXPECT_EQ(cgroup.Apply({{"unified", {{name, "1"}}}}).code(), absl::StatusCode::kInvalidArgument)
        << name;
  }
  if (Has("hugetlb") && IsV2("hugetlb")) {
    ASSERT_TRUE(cgroup.Apply({{"unified", {{"hugetlb.2MB.max", "2097152"}}}}).ok());
    EXPECT_EQ(Read("hugetlb", "hugetlb.2MB.max"), "2097152");
  }
}

TEST_P(CgroupLimitsTest, MissingControllerIsNamed) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  const std::pair<const char*, Json> asks[] = {
      {"memory", {{"memory", {{"limit", 1 << 26}}}}},
      {"cpu", {{"cpu", {{"shares", 100}}}}},
      {"pids", {{"pids", {{"limit", 10}}}}},
  };
  for (const auto& [controller, resources] : asks) {
    const absl::Status applied = cgroup.Apply(resources);
    if (Has(controller)) {
      EXPECT_TRUE(applied.ok()) << applied;
    } else {
      EXPECT_EQ(applied.code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_THAT(std::string(applied.message()), HasSubstr(controller));
    }
  }
  EXPECT_TRUE(cgroup.Apply(Json::object()).ok());
  EXPECT_TRUE(cgroup.Apply({{"cpu", Json::object()}, {"memory", Json()}}).ok());
}

const Json kDeviceRules = {
    {{"allow", false}, {"access", "rwm"}},
    {{"allow", true}, {"type", "c"}, {"access", "m"}},
    {{"allow", true}, {"type", "c"}, {"major", 1}, {"minor", 3}, {"access", "rwm"}},
    {{"allow", true}, {"type", "c"}, {"major", 1}, {"minor", 5}, {"access", "r"}},
};

TEST_P(CgroupLimitsTest, DeviceRulesHold) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  const absl::Status applied = cgroup.Apply({{"devices", kDeviceRules}});
  ASSERT_TRUE(applied.ok()) << applied;
  char folder[] = "/tmp/crisp-devices-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const auto clean = absl::MakeCleanup([&] { EXPECT_TRUE(RemoveTree(folder).ok()); });
  const std::string node = JoinPath(folder, "node");
  // One bit for each thing that was possible.
  const auto possible = [&] {
    int bits = 0;
    const auto may = [&](int bit, const char* path, int flags) {
      const int fd = open(path, flags);
      if (fd >= 0) bits |= 1 << bit;
      if (fd >= 0) close(fd);
    };
    may(0, "/dev/null", O_RDWR);
    may(1, "/dev/zero", O_RDONLY);
    may(2, "/dev/zero", O_RDWR);
    may(3, "/dev/full", O_RDONLY);
    if (mknod(node.c_str(), S_IFCHR | 0600, makedev(1, 7)) == 0) bits |= 1 << 4;
    unlink(node.c_str());
    if (mknod(node.c_str(), S_IFBLK | 0600, makedev(7, 0)) == 0) bits |= 1 << 5;
    unlink(node.c_str());
    return bits;
  };
  EXPECT_EQ(WEXITSTATUS(Wait(Spawn(cgroup, possible))), 0b010011);
  // Rules again, wider: what was attached before does not stay in the way.
  Json wider = {{{"allow", false}, {"access", "rwm"}},
                {{"allow", true}, {"type", "c"}, {"access", "rwm"}}};
  ASSERT_TRUE(cgroup.Apply({{"devices", wider}}).ok());
  EXPECT_EQ(WEXITSTATUS(Wait(Spawn(cgroup, possible))), 0b011111);
  if (Has("devices")) return;  // version 1 cannot take one device out of a wider rule
  wider.push_back({{"allow", false}, {"type", "c"}, {"major", 1}, {"minor", 7}, {"access", "r"}});
  ASSERT_TRUE(cgroup.Apply({{"devices", wider}}).ok());
  EXPECT_EQ(WEXITSTATUS(Wait(Spawn(cgroup, possible))), 0b010111);
}

TEST(DeviceRules, AreChecked) {
  for (const Json& bad : {Json("x"), Json({{{"type", "x"}}}), Json({{{"access", "rq"}}}),
                          Json({{{"major", -2}}}), Json({{{"minor", int64_t{1} << 40}}})}) {
    EXPECT_EQ(ParseDeviceRules(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  const auto rules = ParseDeviceRules(kDeviceRules);
  ASSERT_TRUE(rules.ok());
  EXPECT_FALSE(AllowsAllDevices(*rules));
  EXPECT_EQ(DeviceRuleText(rules->at(2)), "c 1:3 rwm");
  EXPECT_EQ(DeviceRuleText(rules->at(1)), "c *:* m");
  EXPECT_TRUE(AllowsAllDevices(*ParseDeviceRules({{{"allow", true}}})));
  EXPECT_TRUE(AllowsAllDevices({}));
}

// Not a limit of the test: the figure is printed. Start time depends on it.
TEST_P(CgroupLimitsTest, TimeOfAContainer) {
  const Json resources = {{"cpu", {{"shares", 512}, {"quota", 20000}, {"period", 50000}}},
                          {"memory", {{"limit", 64 << 20}, {"swap", 64 << 20}}},
                          {"devices", kDeviceRules}};
  if (!Has("memory") || !Has("cpu")) GTEST_SKIP();
  for (int round = 0; round < 3; ++round) {
    Cgroup cgroup(tree_, Cat(path_, round));
    const absl::Time start = absl::Now();
    ASSERT_TRUE(cgroup.Create().ok());
    const absl::Time made = absl::Now();
    ASSERT_TRUE(cgroup.Apply(resources).ok());
    const absl::Time limited = absl::Now();
    Wait(Spawn(cgroup, [] { return 0; }));
    const absl::Time joined = absl::Now();
    ASSERT_TRUE(cgroup.Remove().ok());
    printf("create %.0f us, limits %.0f us, fork + join + wait %.0f us, remove %.0f us\n",
           absl::ToDoubleMicroseconds(made - start), absl::ToDoubleMicroseconds(limited - made),
           absl::ToDoubleMicroseconds(joined - limited),
           absl::ToDoubleMicroseconds(absl::Now() - joined));
  }
}

}  // namespace
}  // namespace crisp
