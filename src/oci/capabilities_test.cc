#include "oci/capabilities.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "kernel/capability.h"

namespace crisp {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::set<std::string> All() { return {CapabilityNames().begin(), CapabilityNames().end()}; }

runtime::v1::Capability Ask(std::vector<std::string> add, std::vector<std::string> drop = {},
                            std::vector<std::string> ambient = {}) {
  runtime::v1::Capability ask;
  for (const std::string& name : add) ask.add_add_capabilities(name);
  for (const std::string& name : drop) ask.add_drop_capabilities(name);
  for (const std::string& name : ambient) ask.add_add_ambient_capabilities(name);
  return ask;
}

TEST(Capabilities, Default) {
  const auto sets = BuildCapabilities({}, false, All());
  ASSERT_TRUE(sets.ok());
  EXPECT_THAT(sets->bounding, SizeIs(14));
  EXPECT_THAT(sets->bounding, Contains("CAP_NET_RAW"));
  EXPECT_EQ(sets->effective, sets->bounding);
  EXPECT_EQ(sets->permitted, sets->bounding);
  EXPECT_THAT(sets->inheritable, IsEmpty()) << "CVE-2022-27652";
  EXPECT_THAT(sets->ambient, IsEmpty());
}

TEST(Capabilities, AddsAndDropsInOrder) {
  EXPECT_THAT(BuildCapabilities(Ask({"NET_ADMIN"}), false, All())->bounding,
              Contains("CAP_NET_ADMIN"));
  EXPECT_THAT(BuildCapabilities(Ask({"cap_net_admin"}), false, All())->bounding,
              Contains("CAP_NET_ADMIN"));
  EXPECT_THAT(BuildCapabilities(Ask({}, {"CHOWN"}), false, All())->bounding,
              Not(Contains("CAP_CHOWN")));
  EXPECT_THAT(BuildCapabilities(Ask({"all"}), false, All())->bounding, SizeIs(41));
  EXPECT_THAT(BuildCapabilities(Ask({}, {"ALL"}), false, All())->bounding, IsEmpty());
  EXPECT_THAT(BuildCapabilities(Ask({"KILL"}, {"ALL"}), false, All())->bounding,
              ElementsAre("CAP_KILL"));
  EXPECT_THAT(BuildCapabilities(Ask({"ALL"}, {"SYS_ADMIN"}), false, All())->bounding, SizeIs(40));
  EXPECT_THAT(BuildCapabilities(Ask({"ALL", "KILL"}, {"ALL"}), false, All())->bounding,
              ElementsAre("CAP_KILL"));
}

TEST(Capabilities, AmbientGoesIntoAllSets) {
  const auto sets = BuildCapabilities(Ask({}, {"ALL"}, {"NET_BIND_SERVICE"}), false, All());
  ASSERT_TRUE(sets.ok());
  for (const auto* set :
       {&sets->bounding, &sets->effective, &sets->permitted, &sets->inheritable, &sets->ambient}) {
    EXPECT_THAT(*set, ElementsAre("CAP_NET_BIND_SERVICE"));
  }
}

TEST(Capabilities, NeverMoreThanTheDaemonHas) {
  const std::set<std::string> few = {"CAP_CHOWN", "CAP_KILL"};
  EXPECT_EQ(BuildCapabilities(Ask({"ALL"}, {}, {"ALL"}), false, few)->ambient, few);
  EXPECT_EQ(BuildCapabilities({}, true, few)->bounding, few);
  EXPECT_EQ(BuildCapabilities(Ask({"SYS_ADMIN"}), false, few)->bounding, few);
}

TEST(Capabilities, UnknownIsNamed) {
  for (const auto& ask : {Ask({"FLY"}), Ask({}, {"FLY"}), Ask({}, {}, {"FLY"})}) {
    const auto sets = BuildCapabilities(ask, false, All());
    EXPECT_EQ(sets.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(sets.status().message()), HasSubstr("\"FLY\""));
  }
}

TEST(Capabilities, Names) {
  EXPECT_EQ(CapabilityName("chown"), "CAP_CHOWN");
  EXPECT_EQ(CapabilityName("CAP_BPF"), "CAP_BPF");
  EXPECT_EQ(CapabilityName("CAP_CAP_BPF"), "");
  EXPECT_EQ(CapabilityName(""), "");
  EXPECT_EQ(CapabilityNames()[21], "CAP_SYS_ADMIN");
  EXPECT_EQ(CapabilityNames()[40], "CAP_CHECKPOINT_RESTORE");
}

}  // namespace
}  // namespace crisp
