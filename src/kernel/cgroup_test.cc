#include "kernel/cgroup.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/cgroup_device_filter.h"
#include "kernel/cgroup_limits.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kHybrid[] =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
    "35 31 0:32 / /sys/fs/cgroup/with\\040space rw - cgroup cgroup rw,freezer\n"
    "36 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    "37 27 0:38 / /elsewhere/unified rw - cgroup2 cgroup2 rw\n"
    "38 31 0:30 / /sys/fs/cgroup/memory2 rw - cgroup cgroup rw,memory\n"
    "damaged line\n\n"
    "39 31 0:30 / /sys/fs/cgroupfoo/x rw - cgroup cgroup rw,pids\n";

TEST(CgroupMounts, AreReadFromMountinfo) {
  const std::vector<CgroupHierarchy> found = ParseCgroupMounts(kHybrid, "/sys/fs/cgroup");
  ASSERT_EQ(found.size(), 5u);
  EXPECT_EQ(found[0].folder, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_THAT(found[0].controllers, ElementsAre("cpu", "cpuacct"));
  EXPECT_THAT(found[2].controllers, ElementsAre("name=systemd"));
  EXPECT_EQ(found[3].folder, "/sys/fs/cgroup/with space");
  EXPECT_TRUE(found[4].v2);
}

TEST(CgroupMounts, LaterMountHidesTheEarlier) {
  const std::vector<CgroupHierarchy> found = ParseCgroupMounts(
      "1 0 0:1 / /sys/fs/cgroup/a rw - cgroup cgroup rw,memory\n"
      "2 0 0:2 / /sys/fs/cgroup/a rw - cgroup cgroup rw,pids\n",
      "/sys/fs/cgroup");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0].controllers, ElementsAre("pids"));
}

TEST(CgroupMounts, NoneIsAnError) {
  EXPECT_EQ(CgroupTree::Detect("/nowhere").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(CgroupPath, NeverClimbsOut) {
  const absl::StatusOr<CgroupTree> tree = CgroupTree::Detect();
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(Cgroup(*tree, "/a/../../b").path(), "/b");
  EXPECT_EQ(Cgroup(*tree, "a/./b").path(), "/a/b");
  for (const char* path : {"", "/", "/..", "../.."}) {
    Cgroup root(*tree, path);
    EXPECT_EQ(root.path(), "/");
    EXPECT_FALSE(root.Create().ok());
    EXPECT_FALSE(root.Kill(SIGKILL).ok());
    EXPECT_FALSE(root.Remove().ok());
    EXPECT_FALSE(root.Apply(Json::object()).ok());
  }
}

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

// Every test runs on what the host has and on a version 2 tree of its own (which has the
// controllers that version 1 left over).
class CgroupTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      char folder[] = "/tmp/crisp-cgroup2-XXXXXX";
      ASSERT_NE(mkdtemp(folder), nullptr);
      mount_ = folder;
      ASSERT_EQ(mount("none", folder, "cgroup2", 0, nullptr), 0) << strerror(errno);
    }
    absl::StatusOr<CgroupTree> tree =
        GetParam() ? CgroupTree::Detect(mount_) : CgroupTree::Detect();
    ASSERT_TRUE(tree.ok()) << tree.status();
    tree_ = *std::move(tree);
    parent_ = Cat("/crisp-test-", getpid());
    path_ = Cat(parent_, "/pod/container");
  }
  void TearDown() override {
    if (tree_.hierarchies().empty()) return;
    const Cgroup all(tree_, parent_);
    EXPECT_TRUE(all.Kill(SIGKILL).ok());
    for (const pid_t child : children_) waitpid(child, nullptr, 0);
    EXPECT_TRUE(all.Remove(absl::Seconds(5)).ok());
    EXPECT_FALSE(all.Exists());
    if (!mount_.empty()) {
      umount2(mount_.c_str(), MNT_DETACH);
      rmdir(mount_.c_str());
    }
  }

  // A child that runs `body` inside the cgroup and exits with what it returns. Returns once it has
  // joined.
  pid_t Spawn(const Cgroup& cgroup, const std::function<int()>& body) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      const absl::Status joined = cgroup.JoinSelf();
      if (!joined.ok()) {
        fprintf(stderr, "%s\n", std::string(joined.message()).c_str());
        _exit(99);
      }
      close(ready[0]);
      close(ready[1]);
      _exit(body());
    }
    close(ready[1]);
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 0);
    close(ready[0]);
    children_.push_back(child);
    return child;
  }
  static int Sleep() {
    while (true) pause();
  }
  // The wait status of a child of Spawn.
  int Wait(pid_t child) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    std::erase(children_, child);
    return status;
  }
  bool Has(std::string_view controller) const {
    return tree_.WithController(controller) != nullptr;
  }
  std::string Read(std::string_view controller, std::string_view file) {
    const std::string path = Cat(tree_.WithController(controller)->folder, path_, "/", file);
    const absl::StatusOr<std::string> text = ReadFile(path);
    EXPECT_TRUE(text.ok()) << text.status();
    return text.ok() ? std::string(Trim(*text)) : "";
  }
  bool IsV2(std::string_view controller) const { return tree_.WithController(controller)->v2; }

  std::string mount_;
  CgroupTree tree_;
  std::string parent_;
  std::string path_;
  std::vector<pid_t> children_;
};

INSTANTIATE_TEST_SUITE_P(Trees, CgroupTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Unified" : "Host"; });

TEST_P(CgroupTest, IsMadeInEveryHierarchyAndRemoved) {
  Cgroup cgroup(tree_, path_);
  EXPECT_FALSE(cgroup.Exists());
  ASSERT_TRUE(cgroup.Create().ok());
  ASSERT_TRUE(cgroup.Create().ok()) << "a second time is fine";
  EXPECT_TRUE(cgroup.Exists());
  EXPECT_EQ(cgroup.Folders().size(), tree_.hierarchies().size());
  for (const std::string& folder : cgroup.Folders()) EXPECT_TRUE(PathExists(folder)) << folder;
  ASSERT_TRUE(cgroup.Remove().ok());
  ASSERT_TRUE(cgroup.Remove().ok()) << "a second time is fine";
  for (const std::string& folder : cgroup.Folders()) EXPECT_FALSE(PathExists(folder)) << folder;
}

TEST_P(CgroupTest, RemovesAllBelow) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  for (const std::string& folder : cgroup.Folders()) {
    std::string deep = folder;
    for (int i = 0; i < 20; ++i) {
      deep += "/deep";
      ASSERT_EQ(mkdir(deep.c_str(), 0755), 0);
      ASSERT_EQ(mkdir((deep + "er").c_str(), 0755), 0);
    }
  }
  const absl::Status removed = Cgroup(tree_, parent_).Remove();
  EXPECT_TRUE(removed.ok()) << removed;
}

TEST_P(CgroupTest, ChildJoinsEveryHierarchy) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  const pid_t child = Spawn(cgroup, Sleep);
  for (const std::string& folder : cgroup.Folders()) {
    const auto procs = ReadFile(JoinPath(folder, "cgroup.procs"));
    ASSERT_TRUE(procs.ok());
    EXPECT_EQ(*procs, Cat(child, "\n")) << folder;
  }
  EXPECT_THAT(*cgroup.Processes(), ElementsAre(child));
  EXPECT_THAT(*Cgroup(tree_, parent_).Processes(), ElementsAre(child)) << "recursively";
  EXPECT_EQ(cgroup.Remove(absl::Milliseconds(1)).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(CgroupTest, MovesAnotherProcess) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  const pid_t child = fork();
  if (child == 0) Sleep();
  children_.push_back(child);
  ASSERT_TRUE(cgroup.AddProcess(child).ok());
  EXPECT_THAT(*cgroup.Processes(), ElementsAre(child));
}

TEST_P(CgroupTest, ClonesIntoVersion2) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  const auto folder = cgroup.OpenUnified();
  ASSERT_TRUE(folder.ok());
  if (!folder->valid()) GTEST_SKIP() << "no version 2 here";
  clone_args args = {};
  args.flags = CLONE_INTO_CGROUP;
  args.exit_signal = SIGCHLD;
  args.cgroup = folder->get();
  const pid_t child = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
  if (child == 0) Sleep();
  ASSERT_GT(child, 0) << strerror(errno);
  children_.push_back(child);
  EXPECT_THAT(*cgroup.Processes(), ElementsAre(child));
}

TEST_P(CgroupTest, KillReachesAllProcessesBelow) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  Cgroup below(tree_, path_ + "/below");
  ASSERT_TRUE(below.Create().ok());
  const pid_t deep = Spawn(below, Sleep);
  const Cgroup sibling_of_all(tree_, path_ + "-other");
  ASSERT_TRUE(Cgroup(sibling_of_all).Create().ok());
  const pid_t other = Spawn(sibling_of_all, Sleep);
  ASSERT_TRUE(cgroup.Kill(SIGKILL).ok());
  EXPECT_EQ(WTERMSIG(Wait(deep)), SIGKILL);
  EXPECT_EQ(kill(other, 0), 0);
  EXPECT_EQ(waitpid(other, nullptr, WNOHANG), 0) << "a sibling cgroup is left alone";
}

TEST_P(CgroupTest, KillSendsOtherSignalsOnce) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  const pid_t child = Spawn(cgroup, Sleep);
  ASSERT_TRUE(cgroup.Kill(SIGTERM).ok());
  EXPECT_EQ(WTERMSIG(Wait(child)), SIGTERM);
}

TEST_P(CgroupTest, KillEndsAForkStorm) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  if (Has("pids")) {
    ASSERT_TRUE(cgroup.Apply({{"pids", {{"limit", 64}}}}).ok());
  }
  const pid_t child = Spawn(cgroup, [] {
    // Each process forks one that lives on, then ends.
    while (true) {
      const pid_t next = fork();
      if (next > 0) _exit(0);
    }
    return 0;
  });
  Wait(child);
  ASSERT_TRUE(cgroup.Kill(SIGKILL).ok());
  const absl::Status removed = cgroup.Remove(absl::Seconds(5));
  EXPECT_TRUE(removed.ok()) << removed;
}

TEST_P(CgroupTest, FreezesThawsAndKillsFrozen) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  signal(SIGUSR1, [](int) { _exit(7); });
  const pid_t child = Spawn(cgroup, Sleep);
  signal(SIGUSR1, SIG_DFL);
  const absl::Status frozen = cgroup.Freeze();
  if (frozen.code() == absl::StatusCode::kFailedPrecondition) GTEST_SKIP() << frozen;
  ASSERT_TRUE(frozen.ok()) << frozen;
  ASSERT_EQ(kill(child, SIGUSR1), 0);
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_EQ(waitpid(child, nullptr, WNOHANG), 0) << "a frozen process handles no signal";
  ASSERT_TRUE(cgroup.Thaw().ok());
  EXPECT_EQ(WEXITSTATUS(Wait(child)), 7);

  const pid_t second = Spawn(cgroup, Sleep);
  ASSERT_TRUE(cgroup.Freeze().ok());
  ASSERT_TRUE(cgroup.Kill(SIGKILL).ok());
  EXPECT_EQ(WTERMSIG(Wait(second)), SIGKILL);
}

TEST_P(CgroupTest, ExecHasACgroupOfItsOwnWithTheContainersLimits) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  const pid_t main = Spawn(cgroup, Sleep);
  Cgroup exec = cgroup.ForExec("1a2b");
  ASSERT_TRUE(exec.Create().ok());
  EXPECT_EQ(exec.Folders().size(), 1u);
  const pid_t child = Spawn(exec, Sleep);
  EXPECT_THAT(*exec.Processes(), ElementsAre(child));
  const auto all = cgroup.Processes();
  EXPECT_EQ(all->size(), 2u);
  ASSERT_TRUE(exec.Kill(SIGKILL).ok());
  EXPECT_EQ(WTERMSIG(Wait(child)), SIGKILL);
  EXPECT_EQ(waitpid(main, nullptr, WNOHANG), 0) << "the container goes on";
  const absl::Status removed = exec.Remove();
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_TRUE(cgroup.Exists());
}

TEST_P(CgroupTest, MemoryLimitKillsAndIsCounted) {
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

TEST_P(CgroupTest, PidsLimitStopsForks) {
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

TEST_P(CgroupTest, CpuLimitsAreWritten) {
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

TEST_P(CgroupTest, CpusetOfParentsIsFilled) {
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

TEST_P(CgroupTest, HugePageLimits) {
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

TEST_P(CgroupTest, UnifiedWritesFilesOfControllersAlone) {
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

TEST_P(CgroupTest, MissingControllerIsNamed) {
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

TEST_P(CgroupTest, DeviceRulesHold) {
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
TEST_P(CgroupTest, TimeOfAContainer) {
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
