#include "gmock/gmock.h"
#include "oci/spec.h"

namespace crisp {
namespace {

using Resources = runtime::v1::LinuxContainerResources;

DaemonLimits Limits() {
  DaemonLimits limits;
  limits.unified = true;
  return limits;
}

Resources Before() {
  Resources before;
  before.set_cpu_shares(512);
  before.set_cpu_quota(50000);
  before.set_cpu_period(100000);
  before.set_memory_limit_in_bytes(64 << 20);
  before.set_memory_swap_limit_in_bytes(96 << 20);
  before.set_oom_score_adj(500);
  before.set_cpuset_cpus("0");
  auto* pages = before.add_hugepage_limits();
  pages->set_page_size("2MB");
  pages->set_limit(2 << 20);
  (*before.mutable_unified())["memory.high"] = "1";
  return before;
}

TEST(MergeResources, ZeroChangesNothing) {
  EXPECT_EQ(MergeResources(Before(), {}).SerializeAsString(), Before().SerializeAsString());
  EXPECT_TRUE(BuildResources(AskedPart({}, Before()), Limits())->empty());
}

TEST(MergeResources, ANewMemoryLimitAloneMeansNoSwap) {
  Resources update;
  update.set_memory_limit_in_bytes(128 << 20);
  update.set_oom_score_adj(-5);
  const Resources merged = MergeResources(Before(), update);
  const Json built = *BuildResources(merged, Limits());
  EXPECT_EQ(built["memory"]["limit"], 128 << 20);
  EXPECT_EQ(built["memory"]["swap"], 128 << 20);
  EXPECT_EQ(built["cpu"]["quota"], 50000);
  const Resources effective = EffectiveResources(merged, built);
  EXPECT_EQ(effective.memory_swap_limit_in_bytes(), 128 << 20);
  EXPECT_EQ(effective.oom_score_adj(), 500);
  EXPECT_EQ(effective.cpuset_cpus(), "0");
  // Only what was asked for is written to a live cgroup.
  const Json part = *BuildResources(AskedPart(update, merged), Limits());
  EXPECT_EQ(part.size(), 1u);
  EXPECT_EQ(part["memory"]["swap"], 128 << 20);
}

TEST(MergeResources, SwapAloneKeepsTheLimit) {
  Resources update;
  update.set_memory_swap_limit_in_bytes(70 << 20);
  const Resources merged = MergeResources(Before(), update);
  const Json part = *BuildResources(AskedPart(update, merged), Limits());
  EXPECT_EQ(part["memory"]["limit"], 64 << 20);
  EXPECT_EQ(part["memory"]["swap"], 70 << 20);
  update.set_memory_swap_limit_in_bytes(32 << 20);
  EXPECT_EQ(BuildResources(MergeResources(Before(), update), Limits()).status().code(),
            absl::StatusCode::kInvalidArgument);
  Resources unlimited = Before();
  unlimited.clear_memory_limit_in_bytes();
  EXPECT_EQ(BuildResources(MergeResources(unlimited, update), Limits()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(MergeResources, HostsWithoutSwapAccountingTakeTheSameAndSayZero) {
  DaemonLimits limits = Limits();
  limits.swap_accounting = false;
  const Json built = *BuildResources(Before(), limits);
  EXPECT_FALSE(built["memory"].contains("swap"));
  EXPECT_EQ(EffectiveResources(Before(), built).memory_swap_limit_in_bytes(), 0);
}

TEST(MergeResources, PagesAndFilesGoByName) {
  Resources update;
  auto* pages = update.add_hugepage_limits();
  pages->set_page_size("1GB");
  pages->set_limit(1 << 30);
  pages = update.add_hugepage_limits();
  pages->set_page_size("2MB");
  pages->set_limit(0);
  (*update.mutable_unified())["memory.low"] = "2";
  const Resources merged = MergeResources(Before(), update);
  ASSERT_EQ(merged.hugepage_limits_size(), 2);
  EXPECT_EQ(merged.hugepage_limits(0).page_size(), "2MB");
  EXPECT_EQ(merged.hugepage_limits(0).limit(), 0u);
  EXPECT_EQ(merged.unified_size(), 2);
}

TEST(EffectiveResources, ShowsWhatIsInForce) {
  Resources asked;
  asked.set_cpu_quota(20000);
  asked.set_cpu_shares(1);
  asked.set_memory_limit_in_bytes(64 << 20);
  const Resources effective = EffectiveResources(asked, *BuildResources(asked, {}));
  EXPECT_EQ(effective.cpu_period(), 100000);
  EXPECT_EQ(effective.cpu_shares(), 2);
  EXPECT_EQ(effective.memory_swap_limit_in_bytes(), 64 << 20);
  // And once more: what is shown can be asked for again.
  EXPECT_EQ(EffectiveResources(effective, *BuildResources(effective, {})).SerializeAsString(),
            effective.SerializeAsString());
}

TEST(ReplaceLimits, KeepsWhatIsNoLimit) {
  Json config = {{"linux",
                  {{"resources",
                    {{"devices", Json::array({1})},
                     {"memory", {{"limit", 1}}},
                     {"unified", {{"a.b", "c"}}},
                     {"pids", {{"limit", 5}}}}}}}};
  ASSERT_TRUE(ReplaceLimits(config, {{"cpu", {{"shares", 2}}}}).ok());
  EXPECT_EQ(
      config["linux"]["resources"],
      Json({{"devices", Json::array({1})}, {"pids", {{"limit", 5}}}, {"cpu", {{"shares", 2}}}}));
  Json nothing = Json::array();
  EXPECT_FALSE(ReplaceLimits(nothing, Json::object()).ok());
}

}  // namespace
}  // namespace crisp
