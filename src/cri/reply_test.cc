#include "cri/reply.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "cri/runtime_status.h"

namespace crisp {
namespace {

TEST(Reply, EveryCodeKeepsItsNumberAndWords) {
  for (int code = 1; code <= 16; ++code) {
    const grpc::Status status = ToGrpc(absl::Status(static_cast<absl::StatusCode>(code), "why"));
    EXPECT_EQ(static_cast<int>(status.error_code()), code);
    EXPECT_EQ(status.error_message(), "why");
  }
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
}

TEST(Reply, WordsAreCutToWhatAHeaderHolds) {
  const std::string words(100'000, 'x');
  EXPECT_LT(ToGrpc(absl::InternalError(words)).error_message().size(), 4200u);
}

TEST(RuntimeStatus, ConditionsAndHandlers) {
  RuntimeHealth health{.runtime = absl::OkStatus(),
                       .network = absl::UnavailableError("cni config is broken"),
                       .handlers = {{"", {true, false}}, {"native", {true, false}}, {"crun", {}}},
                       .facts = {{"stateDir", "/run/crisp"}}};
  const auto answer = StatusAnswer(health, false);
  ASSERT_EQ(answer.status().conditions_size(), 2);
  EXPECT_EQ(answer.status().conditions(0).type(), "RuntimeReady");
  EXPECT_TRUE(answer.status().conditions(0).status());
  EXPECT_EQ(answer.status().conditions(1).type(), "NetworkReady");
  EXPECT_FALSE(answer.status().conditions(1).status());
  EXPECT_EQ(answer.status().conditions(1).reason(), "NetworkPluginNotReady");
  EXPECT_EQ(answer.status().conditions(1).message(), "cni config is broken");
  EXPECT_TRUE(answer.info().empty());
  ASSERT_EQ(answer.runtime_handlers_size(), 3);
  EXPECT_EQ(answer.runtime_handlers(0).name(), "");
  EXPECT_EQ(answer.runtime_handlers(2).name(), "crun");
  for (const auto& handler : answer.runtime_handlers()) {
    EXPECT_EQ(handler.features().recursive_read_only_mounts(), handler.name() != "crun");
    EXPECT_FALSE(handler.features().user_namespaces());
  }
  EXPECT_TRUE(answer.features().mount_options());
  EXPECT_TRUE(answer.features().supplemental_groups_policy());
  EXPECT_FALSE(answer.features().user_namespaces_host_network());
  health.user_namespaces = true;
  health.handlers[0].features.user_namespaces = true;
  const auto verbose = StatusAnswer(health, true);
  EXPECT_TRUE(verbose.runtime_handlers(0).features().user_namespaces());
  EXPECT_TRUE(verbose.features().user_namespaces_host_network());
  const auto config = ParseJson(verbose.info().at("config"), "config");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ((*config)["stateDir"], "/run/crisp");
}

TEST(RuntimeStatus, VersionHasAllFourFields) {
  const auto version = VersionAnswer();
  EXPECT_EQ(version.version(), "0.1.0");
  EXPECT_EQ(version.runtime_name(), "crisp");
  EXPECT_EQ(version.runtime_version(), CRISP_VERSION);
  EXPECT_EQ(version.runtime_api_version(), "v1");
}

}  // namespace
}  // namespace crisp
