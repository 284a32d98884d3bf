#include "launch/namespace_plan.h"

#include <gtest/gtest.h>
#include <sched.h>

#include "base/text.h"

namespace crisp {
namespace {

std::string Config(std::string_view namespaces) {
  return Cat(R"({"hooks":{"namespaces":[{"type":"user"}]},"linux":{"cgroupsPath":"/a/b",)",
             R"("devices":[{"type":"c","path":"/x"}],"namespaces":)", namespaces,
             R"(,"resources":{"cgroupsPath":"no"}},"process":{"namespaces":[{"type":"time"}]}})");
}

TEST(NamespacePlanTest, TellsNewFromJoined) {
  const absl::StatusOr<NamespacePlan> plan = ReadNamespacePlan(
      Config(R"([{"type":"mount"},{"type":"pid","path":"/p"},{"type":"network","path":"/n"},)"
             R"({"type":"ipc"},{"type":"cgroup"}])"));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->create, static_cast<uint64_t>(CLONE_NEWNS | CLONE_NEWIPC));
  EXPECT_TRUE(plan->create_cgroup);
  EXPECT_EQ(plan->pid_path, "/p");
  ASSERT_EQ(plan->join.size(), 1u);
  EXPECT_EQ(plan->join[0].flag, CLONE_NEWNET);
  EXPECT_EQ(plan->join[0].path, "/n");
  EXPECT_EQ(plan->cgroups_path, "/a/b");
  EXPECT_TRUE(plan->Has(CLONE_NEWPID));
  EXPECT_TRUE(plan->Has(CLONE_NEWCGROUP));
  EXPECT_FALSE(plan->Has(CLONE_NEWUTS));
}

TEST(NamespacePlanTest, JoinsAUserNamespaceByItsPath) {
  const absl::StatusOr<NamespacePlan> plan =
      ReadNamespacePlan(Config(R"([{"type":"mount"},{"type":"user","path":"/u"}])"));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->user_path, "/u");
  EXPECT_TRUE(plan->join.empty());
  EXPECT_TRUE(plan->Has(CLONE_NEWUSER));
}

TEST(NamespacePlanTest, RefusesWhatItCannotDo) {
  const auto code = [](std::string_view namespaces) {
    return ReadNamespacePlan(Config(namespaces)).status().code();
  };
  EXPECT_EQ(code("[]"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(R"([{"type":"mount"},{"type":"mount"}])"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(R"([{"type":"mount"},{"type":"odd"}])"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(R"([{"type":"mount"},{"type":"user"}])"), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(code(R"([{"type":"mount","path":"/x"}])"), absl::StatusCode::kUnimplemented);
  EXPECT_FALSE(ReadNamespacePlan("{\"linux\":").ok());
  EXPECT_FALSE(ReadNamespacePlan("").ok());
  EXPECT_FALSE(ReadNamespacePlan(std::string(100000, '[')).ok());
}

}  // namespace
}  // namespace crisp
