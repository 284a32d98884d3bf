#include "kernel/cgroup.h"

#include <linux/sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "kernel/cgroup_fixture.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;

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

}  // namespace
}  // namespace crisp
