#include "kernel/unit_properties.h"

#include "gmock/gmock.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using Bits = std::vector<uint8_t>;

std::vector<UnitProperty> Must(const Json& resources) {
  auto properties = UnitProperties(resources);
  EXPECT_TRUE(properties.ok()) << properties.status();
  return properties.ok() ? *std::move(properties) : std::vector<UnitProperty>();
}

TEST(UnitProperties, NothingAskedNothingSet) { EXPECT_THAT(Must(Json::object()), IsEmpty()); }

TEST(UnitProperties, MemoryAndSwap) {
  EXPECT_THAT(Must({{"memory", {{"limit", 1000}, {"swap", 1500}, {"reservation", 10}}}}),
              UnorderedElementsAre(UnitProperty{"MemoryMax", uint64_t{1000}},
                                   UnitProperty{"MemorySwapMax", uint64_t{500}},
                                   UnitProperty{"MemoryLow", uint64_t{10}}));
  EXPECT_THAT(Must({{"memory", {{"limit", -1}, {"swap", -1}}}}),
              UnorderedElementsAre(UnitProperty{"MemoryMax", UINT64_MAX},
                                   UnitProperty{"MemorySwapMax", UINT64_MAX}));
}

TEST(UnitProperties, QuotaIsRoundedUpToWholePercents) {
  EXPECT_THAT(Must({{"cpu", {{"quota", 25500}, {"period", 100000}, {"shares", 1024}}}}),
              UnorderedElementsAre(UnitProperty{"CPUWeight", uint64_t{100}},
                                   UnitProperty{"CPUQuotaPeriodUSec", uint64_t{100000}},
                                   UnitProperty{"CPUQuotaPerSecUSec", uint64_t{260000}}));
  EXPECT_THAT(Must({{"cpu", {{"quota", -1}}}}),
              ElementsAre(UnitProperty{"CPUQuotaPerSecUSec", UINT64_MAX}));
}

TEST(UnitProperties, ProcessorsAndNodes) {
  EXPECT_THAT(Must({{"cpu", {{"cpus", "0-2,9"}, {"mems", "0"}}}}),
              ElementsAre(UnitProperty{"AllowedCPUs", Bits{0x07, 0x02}},
                          UnitProperty{"AllowedMemoryNodes", Bits{0x01}}));
  for (const char* bad : {"x", "3-1", "1,,2", "1-", "0-99999999", "-1"}) {
    EXPECT_EQ(CpuListBits(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(UnitProperties, UnifiedWinsAndItsOtherFilesAreLeftAlone) {
  EXPECT_THAT(Must({{"memory", {{"limit", 1000}}},
                    {"unified",
                     {{"memory.max", "max"},
                      {"memory.high", "900"},
                      {"memory.oom.group", "1"},
                      {"io.max", "8:0 rbps=1"}}}}),
              UnorderedElementsAre(UnitProperty{"MemoryMax", UINT64_MAX},
                                   UnitProperty{"MemoryHigh", uint64_t{900}}));
}

}  // namespace
}  // namespace crisp
