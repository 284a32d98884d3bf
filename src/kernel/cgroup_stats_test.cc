// The figures of cgroups: from folders of text files for what this host's version lacks, and from
// real cgroups of both versions.
#include "kernel/cgroup_stats.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "kernel/cgroup_fixture.h"
#include "kernel/disk_usage.h"
#include "kernel/process_stats.h"

namespace crisp {
namespace {

// A tree of text files that looks like mounted hierarchies.
class StatFiles : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/crisp-stats-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    root_ = folder;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(root_).ok()); }

  void Write(const std::string& path, std::string_view text) {
    const std::string full = JoinPath(root_, path);
    ASSERT_TRUE(MakeFolders(FolderOf(full)).ok());
    ASSERT_TRUE(ReplaceFile(full, text).ok());
  }
  CgroupTree Tree(const std::string& mounts) {
    Write("mountinfo", mounts);
    auto tree = CgroupTree::Detect(root_, JoinPath(root_, "mountinfo"));
    EXPECT_TRUE(tree.ok()) << tree.status();
    return tree.ok() ? *std::move(tree) : CgroupTree();
  }
  std::string Line(const std::string& folder, const std::string& type, const std::string& options) {
    return Cat("30 20 0:26 / ", root_, folder, " rw - ", type, " none ", options, "\n");
  }
  void WriteVersion2() {
    Write("unified/cgroup.controllers", "cpu memory pids io hugetlb\n");
    Write("unified/p/c/cpu.stat",
          "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 7\nnr_throttled 3\n"
          "throttled_usec 11\n");
    Write("unified/p/c/cpu.pressure",
          "some avg10=1.50 avg60=0.00 avg300=0.00 total=25\nfull avg10=0.00 avg60=0.00 "
          "avg300=0.00 total=5\n");
    Write("unified/p/c/memory.current", "1000000\n");
    Write("unified/p/c/memory.stat",
          "anon 400000\nfile 500000\nkernel 1000\nfile_mapped 2000\npgfault 30\npgmajfault 2\n"
          "active_file 200000\ninactive_file 300000\n");
    Write("unified/p/c/memory.max", "2000000\n");
    Write("unified/p/c/memory.swap.current", "100\n");
    Write("unified/p/c/memory.swap.max", "max\n");
    Write("unified/p/c/memory.peak", "1100000\n");
    Write("unified/p/c/memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\n");
    Write("unified/p/c/pids.current", "3\n");
    Write("unified/p/c/pids.max", "max\n");
    Write("unified/p/c/io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n");
  }

  std::string root_;
  DescriptorBudget budget_{100};
};

TEST_F(StatFiles, Version2) {
  WriteVersion2();
  const CgroupTree tree = Tree(Line("/unified", "cgroup2", "rw"));
  CgroupStats stats(tree, "/p/c", budget_);
  CgroupFigures figures;
  ASSERT_TRUE(stats.Read(StatsDetail::kAll, figures));
  EXPECT_EQ(figures.cpu_usage, Figure(5000000));
  EXPECT_EQ(figures.cpu_user, Figure(3000000));
  EXPECT_EQ(figures.cpu_system, Figure(2000000));
  EXPECT_EQ(figures.periods, Figure(7));
  EXPECT_EQ(figures.throttled_periods, Figure(3));
  EXPECT_EQ(figures.throttled_time, Figure(11000));
  ASSERT_TRUE(figures.cpu_pressure.has_value());
  EXPECT_EQ(figures.cpu_pressure->some.total_us, 25u);
  EXPECT_FALSE(figures.io_pressure.has_value());
  EXPECT_EQ(figures.memory, Figure(1000000));
  EXPECT_EQ(figures.WorkingSet(), Figure(700000));
  EXPECT_EQ(figures.memory_limit, Figure(2000000));
  EXPECT_EQ(figures.anonymous, Figure(400000));
  EXPECT_EQ(figures.memory_max_usage, Figure(1100000));
  EXPECT_EQ(figures.limit_hits, Figure(4));
  EXPECT_EQ(figures.oom_kills, Figure(1));
  EXPECT_EQ(figures.swap, Figure(100));
  EXPECT_EQ(figures.swap_limit, std::nullopt);
  EXPECT_EQ(figures.tasks, Figure(3));
  EXPECT_EQ(figures.tasks_limit, std::nullopt);
  ASSERT_EQ(figures.devices.size(), 1u);
  EXPECT_EQ(figures.devices[0].writes, 4u);
}

TEST_F(StatFiles, Version1) {
  Write("cpuacct/p/c/cpuacct.usage", "5000000\n");
  Write("cpuacct/p/c/cpuacct.usage_user", "3000000\n");
  Write("cpuacct/p/c/cpuacct.usage_sys", "2000000\n");
  Write("cpu/p/c/cpu.stat", "nr_periods 7\nnr_throttled 3\nthrottled_time 11000\n");
  Write("memory/p/c/memory.usage_in_bytes", "1000000\n");
  Write("memory/p/c/memory.stat",
        "cache 1\nrss 1\ninactive_file 1\nhierarchical_memory_limit 2000000\n"
        "hierarchical_memsw_limit 2500000\ntotal_cache 500000\ntotal_rss 400000\n"
        "total_mapped_file 2000\ntotal_swap 100\ntotal_pgfault 30\ntotal_pgmajfault 2\n"
        "total_inactive_file 300000\ntotal_active_file 200000\n");
  Write("memory/p/c/memory.max_usage_in_bytes", "1100000\n");
  Write("memory/p/c/memory.failcnt", "4\n");
  Write("memory/p/c/memory.kmem.usage_in_bytes", "1000\n");
  Write("memory/p/c/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
  Write("pids/p/c/pids.current", "3\n");
  Write("pids/p/c/pids.max", "64\n");
  Write("blkio/p/c/blkio.throttle.io_service_bytes_recursive", "8:0 Read 1\n8:0 Write 2\n");
  Write("blkio/p/c/blkio.throttle.io_serviced_recursive", "8:0 Read 3\n8:0 Write 4\n");
  std::string mounts;
  for (const char* name : {"cpu", "cpuacct", "memory", "pids", "blkio"}) {
    mounts += Line(Cat("/", name), "cgroup", Cat("rw,", name));
  }
  const CgroupTree tree = Tree(mounts);
  CgroupStats stats(tree, "/p/c", budget_);
  CgroupFigures figures;
  ASSERT_TRUE(stats.Read(StatsDetail::kAll, figures));
  EXPECT_EQ(figures.cpu_usage, Figure(5000000));
  EXPECT_EQ(figures.cpu_user, Figure(3000000));
  EXPECT_EQ(figures.throttled_time, Figure(11000));
  EXPECT_EQ(figures.WorkingSet(), Figure(700000));
  EXPECT_EQ(figures.anonymous, Figure(400000));
  EXPECT_EQ(figures.memory_limit, Figure(2000000));
  EXPECT_EQ(figures.swap, Figure(100));
  EXPECT_EQ(figures.swap_limit, Figure(500000));
  EXPECT_EQ(figures.kernel_memory, Figure(1000));
  EXPECT_EQ(figures.limit_hits, Figure(4));
  EXPECT_EQ(figures.oom_kills, Figure(1));
  EXPECT_EQ(figures.tasks_limit, Figure(64));
  EXPECT_FALSE(figures.cpu_pressure.has_value());
  ASSERT_EQ(figures.devices.size(), 1u);
  EXPECT_EQ(figures.devices[0].read_bytes, 1u);
  EXPECT_EQ(figures.devices[0].writes, 4u);
}

// Pressure comes from version 2 also where the controllers are of version 1, and is the only thing.
TEST_F(StatFiles, Hybrid) {
  WriteVersion2();
  Write("unified/cgroup.controllers", "\n");
  Write("cpuacct/p/c/cpuacct.usage", "77\n");
  const CgroupTree tree =
      Tree(Line("/unified", "cgroup2", "rw") + Line("/cpuacct", "cgroup", "rw,cpuacct"));
  CgroupStats stats(tree, "/p/c", budget_);
  CgroupFigures figures;
  ASSERT_TRUE(stats.Read(StatsDetail::kUsage, figures));
  EXPECT_EQ(figures.cpu_usage, Figure(77));
  EXPECT_TRUE(figures.cpu_pressure.has_value());
  EXPECT_EQ(figures.memory, std::nullopt);
}

TEST_F(StatFiles, ACgroupThatComesLater) {
  WriteVersion2();
  const CgroupTree tree = Tree(Line("/unified", "cgroup2", "rw"));
  CgroupStats stats(tree, "/later", budget_);
  CgroupFigures figures;
  EXPECT_FALSE(stats.Read(StatsDetail::kAll, figures));
  EXPECT_FALSE(stats.Read(StatsDetail::kAll, figures));
  EXPECT_EQ(stats.open_files(), 0u);
  Write("unified/later/memory.current", "5\n");
  ASSERT_TRUE(stats.Read(StatsDetail::kUsage, figures));
  EXPECT_EQ(figures.memory, Figure(5));
}

TEST_F(StatFiles, BeyondTheBudgetFilesAreOpenedEachTime) {
  WriteVersion2();
  const CgroupTree tree = Tree(Line("/unified", "cgroup2", "rw"));
  DescriptorBudget two(2);
  {
    CgroupStats stats(tree, "/p/c", two);
    for (int round = 0; round < 2; ++round) {
      CgroupFigures figures;
      ASSERT_TRUE(stats.Read(StatsDetail::kAll, figures));
      EXPECT_EQ(figures.tasks, Figure(3));
      EXPECT_EQ(stats.open_files(), 2u);
    }
  }
  EXPECT_TRUE(two.Take());
  EXPECT_TRUE(two.Take());
  EXPECT_FALSE(two.Take());
}

TEST_F(StatFiles, ADisksUsage) {
  Write("tree/a", std::string(100000, 'x'));
  Write("tree/folder/b", "y");
  ASSERT_EQ(link(Cat(root_, "/tree/a").c_str(), Cat(root_, "/tree/folder/again").c_str()), 0);
  ASSERT_EQ(symlink("/", Cat(root_, "/tree/link").c_str()), 0);
  int pauses = 0;
  const auto count = [&] { return ++pauses > 0; };
  const auto usage = MeasureFolder(Cat(root_, "/tree"), 1, count);
  ASSERT_TRUE(usage.ok()) << usage.status();
  EXPECT_EQ(usage->inodes, 5u);  // two folders, two files, one link
  EXPECT_GE(usage->bytes, 100000u);
  EXPECT_LT(usage->bytes, 200000u);
  EXPECT_EQ(pauses, 5);
  const auto stop = [] { return false; };
  EXPECT_TRUE(absl::IsCancelled(MeasureFolder(Cat(root_, "/tree"), 1, stop).status()));
  EXPECT_TRUE(absl::IsNotFound(MeasureFolder(Cat(root_, "/none"), 1, count).status()));
}

class RealStats : public CgroupTest {};
INSTANTIATE_TEST_SUITE_P(Versions, RealStats, testing::Bool());

TEST_P(RealStats, FiguresOfARealCgroup) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  DescriptorBudget budget(1000);
  CgroupStats stats(tree_, path_, budget);
  Spawn(cgroup, [] {
    const UniqueFd held(open("/dev/null", O_RDONLY));
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    volatile uint64_t sum = 0;
    for (uint64_t i = 0; i < 30000000; ++i) sum = sum + i;
    return Sleep();
  });
  CgroupFigures figures;
  // Until it has done something.
  for (int i = 0; i < 1000 && figures.cpu_usage.value_or(0) == 0; ++i) {
    figures = {};
    ASSERT_TRUE(stats.Read(StatsDetail::kAll, figures));
    usleep(10000);
  }
  EXPECT_GT(figures.cpu_usage.value_or(0), 0u);
  if (Has("memory")) EXPECT_TRUE(figures.memory.has_value());
  if (Has("pids")) EXPECT_EQ(figures.tasks, Figure(1));
  if (GetParam()) EXPECT_TRUE(figures.cpu_pressure.has_value());
  const auto pids = cgroup.Processes();
  ASSERT_TRUE(pids.ok());
  const ProcessFigures processes = CountProcesses(*pids);
  EXPECT_EQ(processes.processes, 1u);
  EXPECT_GE(processes.descriptors, 2u);
  EXPECT_TRUE(OpenFilesLimit(pids->at(0)).has_value());
  EXPECT_GT(stats.open_files(), 0u);

  // Open descriptors do not keep a cgroup from going, and tell that it has.
  ASSERT_TRUE(cgroup.Kill(SIGKILL).ok());
  Wait(children_.at(0));
  ASSERT_TRUE(cgroup.Remove(absl::Seconds(5)).ok());
  CgroupFigures gone;
  EXPECT_FALSE(stats.Read(StatsDetail::kAll, gone));
  EXPECT_EQ(gone.cpu_usage, std::nullopt);
}

}  // namespace
}  // namespace crisp
