// On the host's hierarchies and a real version 2 tree (which has hugetlb alone on a hybrid host),
// and for the files of version 2's other controllers on folders that look like a tree of it.
#include "kernel/cgroup_transaction.h"

#include <sys/mman.h>

#include <algorithm>
#include <map>

#include "absl/cleanup/cleanup.h"
#include "gmock/gmock.h"
#include "kernel/cgroup_fixture.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<std::string> FilesOf(const CgroupTransaction& transaction) {
  std::vector<std::string> files;
  for (const CgroupChange& change : transaction.changes()) {
    files.push_back(Cat(change.file, "=", change.value));
  }
  return files;
}

class CgroupTransactionTest : public CgroupTest {
 protected:
  absl::StatusOr<CgroupTransaction> Prepare(const Json& resources) {
    Cgroup cgroup(tree_, path_);
    absl::StatusOr<std::vector<CgroupWrite>> plan = cgroup.Plan(resources);
    if (!plan.ok()) return plan.status();
    return CgroupTransaction::Prepare(*std::move(plan));
  }
  absl::Status Update(const Json& resources) {
    absl::StatusOr<CgroupTransaction> transaction = Prepare(resources);
    return transaction.ok() ? transaction->Commit() : transaction.status();
  }
  static Json Memory(int64_t limit, int64_t swap) {
    return {{"memory", {{"limit", limit}, {"swap", swap}}}};
  }
};

INSTANTIATE_TEST_SUITE_P(Trees, CgroupTransactionTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Unified" : "Host"; });

TEST_P(CgroupTransactionTest, MemoryGoesUpAndDownInTheOrderThatWorks) {
  if (!Has("memory") || IsV2("memory")) GTEST_SKIP() << "version 1's memory controller is absent";
  ASSERT_TRUE(Cgroup(tree_, path_).Create().ok());
  const int64_t mib = 1 << 20;
  constexpr const char* kMemory = "memory.limit_in_bytes";
  constexpr const char* kBoth = "memory.memsw.limit_in_bytes";
  const auto step = [&](int64_t limit, int64_t swap, bool memory_first) {
    auto transaction = Prepare(Memory(limit, swap));
    ASSERT_TRUE(transaction.ok()) << transaction.status();
    ASSERT_THAT(transaction->changes(), SizeIs(2));
    EXPECT_EQ(transaction->changes()[0].file, memory_first ? kMemory : kBoth);
    const absl::Status done = transaction->Commit();
    ASSERT_TRUE(done.ok()) << done;
    EXPECT_EQ(Read("memory", kMemory), Cat(limit));
    EXPECT_EQ(Read("memory", kBoth), Cat(swap));
  };
  step(64 * mib, 64 * mib, true);     // from unlimited
  step(128 * mib, 128 * mib, false);  // up past the old sum
  step(32 * mib, 48 * mib, true);     // down
  step(40 * mib, 44 * mib, true);     // both ways at once
  auto same = Prepare(Memory(40 * mib, 44 * mib));
  ASSERT_TRUE(same.ok());
  EXPECT_THAT(same->changes(), IsEmpty());
  ASSERT_TRUE(Update(Memory(-1, -1)).ok());
  EXPECT_GT(Read("memory", kMemory).size(), 15u);
}

TEST_P(CgroupTransactionTest, ALimitBelowWhatIsInUseIsRefusedBeforeAnythingIsWritten) {
  if (!Has("memory") || !Has("cpu")) GTEST_SKIP() << "no memory controller in this tree";
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = Spawn(cgroup, [&] {
    mmap(nullptr, 48 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
         0);
    (void)!write(ready[1], "x", 1);
    return Sleep();
  });
  close(ready[1]);
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  Json resources = Memory(16 << 20, 16 << 20);
  resources["cpu"]["shares"] = 77;
  const absl::Status refused = Update(resources);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(Cat(16 << 20)));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("in use"));
  EXPECT_NE(Read("cpu", IsV2("cpu") ? "cpu.weight" : "cpu.shares"), "77");
  EXPECT_TRUE(Update(Memory(128 << 20, 128 << 20)).ok());
  EXPECT_EQ(kill(child, 0), 0);
  EXPECT_EQ(cgroup.OomKills(), 0u);
}

TEST_P(CgroupTransactionTest, AFailingWriteTakesTheOthersBack) {
  if (!Has("cpu") || IsV2("cpu") || !Has("memory")) GTEST_SKIP() << "needs version 1's cpu";
  // The parent has half a processor: the kernel refuses a child that asks for more.
  Cgroup parent(tree_, FolderOf(path_));
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  ASSERT_TRUE(parent.Apply({{"cpu", {{"quota", 50000}, {"period", 100000}}}}).ok());
  ASSERT_TRUE(cgroup.Apply(Memory(64 << 20, 64 << 20)).ok());
  Json resources = {{"memory", {{"limit", 96 << 20}, {"swap", 96 << 20}}},
                    {"cpu", {{"shares", 333}, {"quota", 100000}, {"period", 100000}}}};
  auto plan = cgroup.Plan(resources);
  ASSERT_TRUE(plan.ok());
  // The failing one last, so that there is something to take back.
  std::stable_partition(plan->begin(), plan->end(),
                        [](const CgroupWrite& write) { return write.file != "cpu.cfs_quota_us"; });
  auto transaction = CgroupTransaction::Prepare(*plan);
  ASSERT_TRUE(transaction.ok());
  const absl::Status failed = transaction->Commit();
  EXPECT_EQ(failed.code(), absl::StatusCode::kInvalidArgument) << failed;
  EXPECT_THAT(std::string(failed.message()), HasSubstr("\"100000\""));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("cpu.cfs_quota_us"));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("as before"));
  EXPECT_EQ(Read("memory", "memory.limit_in_bytes"), Cat(64 << 20));
  EXPECT_EQ(Read("memory", "memory.memsw.limit_in_bytes"), Cat(64 << 20));
  EXPECT_EQ(Read("cpu", "cpu.shares"), "1024");
  EXPECT_EQ(Read("cpu", "cpu.cfs_quota_us"), "-1");
}

TEST_P(CgroupTransactionTest, QuotaAndPeriodNeverExceedTheParentsInBetween) {
  if (!Has("cpu") || IsV2("cpu")) GTEST_SKIP() << "needs version 1's cpu";
  Cgroup parent(tree_, FolderOf(path_));
  ASSERT_TRUE(Cgroup(tree_, path_).Create().ok());
  ASSERT_TRUE(parent.Apply({{"cpu", {{"quota", 50000}, {"period", 100000}}}}).ok());
  const auto half = [&](int period) {
    const absl::Status done = Update({{"cpu", {{"quota", period / 2}, {"period", period}}}});
    EXPECT_TRUE(done.ok()) << period << ": " << done;
    EXPECT_EQ(Read("cpu", "cpu.cfs_quota_us"), Cat(period / 2));
    EXPECT_EQ(Read("cpu", "cpu.cfs_period_us"), Cat(period));
  };
  half(100000);
  half(10000);   // quota first, or 50 of 10 ms
  half(200000);  // period first, or 100 of 10 ms
}

TEST_P(CgroupTransactionTest, RestoreUndoesAnyPartOfTheChanges) {
  if (!Has("memory") || IsV2("memory")) GTEST_SKIP() << "version 1's memory controller is absent";
  ASSERT_TRUE(Cgroup(tree_, path_).Create().ok());
  ASSERT_TRUE(Cgroup(tree_, path_).Apply(Memory(32 << 20, 32 << 20)).ok());
  auto transaction = Prepare(Memory(64 << 20, 96 << 20));
  ASSERT_TRUE(transaction.ok());
  const std::vector<CgroupChange> journal = transaction->changes();
  for (size_t made = 0; made <= journal.size(); ++made) {
    for (size_t i = 0; i < made; ++i) {
      ASSERT_TRUE(
          WriteExisting(JoinPath(journal[i].folder, journal[i].file), journal[i].value).ok());
    }
    EXPECT_TRUE(RestoreCgroup(journal).ok());
    EXPECT_EQ(Read("memory", "memory.limit_in_bytes"), Cat(32 << 20));
    EXPECT_EQ(Read("memory", "memory.memsw.limit_in_bytes"), Cat(32 << 20));
  }
  ASSERT_TRUE(Cgroup(tree_, path_).Remove().ok());
  EXPECT_TRUE(RestoreCgroup(journal).ok()) << "gone, and its limits with it";
  EXPECT_EQ(Prepare(Memory(64 << 20, 96 << 20)).status().code(), absl::StatusCode::kNotFound);
}

TEST_P(CgroupTransactionTest, ARealVersion2FileThatRefusesTakesTheOthersBack) {
  if (!Has("hugetlb") || !IsV2("hugetlb")) GTEST_SKIP() << "no hugetlb controller of version 2";
  ASSERT_TRUE(Cgroup(tree_, path_).Create().ok());
  const auto limits = [](int64_t bytes) {
    return Json{{"hugepageLimits", {{{"pageSize", "2MB"}, {"limit", bytes}}}}};
  };
  ASSERT_TRUE(Update(limits(4 << 20)).ok());
  EXPECT_EQ(Read("hugetlb", "hugetlb.2MB.max"), Cat(4 << 20));
  Json both = limits(8 << 20);
  both["unified"]["hugetlb.2MB.rsvd.max"] = "much";
  const absl::Status failed = Update(both);
  EXPECT_EQ(failed.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(failed.message()), HasSubstr("\"much\""));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("hugetlb.2MB.rsvd.max"));
  EXPECT_EQ(Read("hugetlb", "hugetlb.2MB.max"), Cat(4 << 20));
  EXPECT_EQ(Read("hugetlb", "hugetlb.2MB.rsvd.max"), Cat(4 << 20));
  EXPECT_EQ(Update({{"unified", {{"cgroup.freeze", "1"}}}}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Update({{"unified", {{"../hugetlb.2MB.max", "1"}}}}).code(),
            absl::StatusCode::kInvalidArgument);
}

// A folder with the files of version 2's cpu, memory, cpuset and io controllers.
class Version2Files : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/crisp-v2-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    Put("cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
    Put("mountinfo", Cat("30 1 0:26 / ", folder_, " rw - cgroup2 cgroup2 rw\n"));
    ASSERT_TRUE(MakeFolders(Cat(folder_, "/pod/c")).ok());
    for (const auto& [file, value] : std::map<std::string, std::string>{
             {"cpu.weight", "100\n"},
             {"cpu.max", "max 100000\n"},
             {"memory.max", "max\n"},
             {"memory.swap.max", "max\n"},
             {"memory.current", "52428800\n"},
             {"memory.stat", "anon 20971520\ninactive_file 20971520\nfile_dirty 4194304\n"},
             {"memory.high", "max\n"},
             {"cpuset.cpus", "\n"},
             {"io.max", "8:0 rbps=100 wbps=max riops=max wiops=max\n"}}) {
      Put(Cat("pod/c/", file), value);
    }
    auto tree = CgroupTree::Detect(folder_, Cat(folder_, "/mountinfo"));
    ASSERT_TRUE(tree.ok()) << tree.status();
    tree_ = *std::move(tree);
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }

  void Put(const std::string& file, const std::string& text) {
    ASSERT_TRUE(ReplaceFile(Cat(folder_, "/", file), text).ok());
  }
  absl::StatusOr<CgroupTransaction> Prepare(const Json& resources) {
    Cgroup cgroup(tree_, "/pod/c");
    absl::StatusOr<std::vector<CgroupWrite>> plan = cgroup.Plan(resources);
    if (!plan.ok()) return plan.status();
    return CgroupTransaction::Prepare(*std::move(plan));
  }

  std::string folder_;
  CgroupTree tree_;
};

TEST_F(Version2Files, AreWrittenAsVersion2Wants) {
  const auto transaction =
      Prepare({{"cpu", {{"shares", 1024}, {"quota", 150000}, {"period", 100000}, {"cpus", "0-1"}}},
               {"memory", {{"limit", 64 << 20}, {"swap", 96 << 20}}},
               {"unified", {{"memory.high", "60000000"}}}});
  ASSERT_TRUE(transaction.ok()) << transaction.status();
  // cpu.weight is 100 already.
  EXPECT_THAT(FilesOf(*transaction),
              ElementsAre("cpu.max=150000 100000", "cpuset.cpus=0-1", "memory.swap.max=33554432",
                          "memory.max=67108864", "memory.high=60000000"));
}

TEST_F(Version2Files, UsageCountsWithoutTheCacheThatCanBeDropped) {
  // 50 MiB in use, of which 16 MiB are idle clean cache.
  const auto limit = [&](int64_t mib) {
    return Prepare({{"memory", {{"limit", mib << 20}, {"swap", mib << 20}}}}).status();
  };
  EXPECT_TRUE(limit(34).ok());
  EXPECT_EQ(limit(33).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(limit(33).message()), HasSubstr("memory.max"));
}

TEST_F(Version2Files, RestorePutsBackWhatWasThereAndNoMore) {
  const std::vector<CgroupChange> changes = {
      {Cat(folder_, "/pod/c"), "cpu.max", "5 10", "max 100000"},
      {Cat(folder_, "/pod/gone"), "cpu.max", "5 10", "max 100000"},
      {Cat(folder_, "/pod/c"), "no.such.file", "1", "2"}};
  Put("pod/c/cpu.max", "");  // a plain file is written from its start
  EXPECT_TRUE(RestoreCgroup(changes).ok());
  EXPECT_EQ(*ReadFile(Cat(folder_, "/pod/c/cpu.max")), "max 100000");
}

TEST_F(Version2Files, AFileThatRefusesTakesTheOthersBack) {
  Put("pod/c/a.first", "1\n");
  // Readable, and the kernel refuses what is written to it.
  ASSERT_EQ(symlink("/proc/version", Cat(folder_, "/pod/c/z.last").c_str()), 0);
  auto transaction = Prepare({{"unified", {{"a.first", "2"}, {"z.last", "3"}}}});
  ASSERT_TRUE(transaction.ok()) << transaction.status();
  EXPECT_THAT(FilesOf(*transaction), ElementsAre("a.first=2", "z.last=3"));
  const absl::Status failed = transaction->Commit();
  EXPECT_FALSE(failed.ok());
  EXPECT_THAT(std::string(failed.message()), HasSubstr("\"3\""));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("z.last"));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("as before"));
  EXPECT_EQ(*ReadFile(Cat(folder_, "/pod/c/a.first")), "1\n");
}

TEST_F(Version2Files, WhatCannotBeReadIsNotWritten) {
  ASSERT_TRUE(MakeFolders(Cat(folder_, "/pod/c/memory.reclaim")).ok());  // a folder cannot be read
  const auto refused = Prepare({{"unified", {{"memory.reclaim", "1"}}}});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("put back"));
  EXPECT_EQ(Prepare({{"unified", {{"none.such", "1"}}}}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace crisp
