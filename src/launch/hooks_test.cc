#include "launch/hooks.h"

#include <gmock/gmock.h>

#include "launch/launch_fixture.h"

namespace crisp {
namespace {

using testing::HasSubstr;

class HooksTest : public LaunchTest {
 protected:
  void SetUp() override {
    LaunchTest::SetUp();
    ASSERT_TRUE(MakeFolders(At("bundle/rootfs")).ok());
  }
  // One hook that runs a script of the host's shell.
  void Hook(const char* name, const std::string& script) {
    config_["hooks"] = {{name,
                         {{{"path", "/bin/sh"},
                           {"args", {"sh", "-c", script}},
                           {"env", {"PATH=/bin:/usr/bin", "WORD=word"}}}}}};
  }
};

TEST_F(HooksTest, CreateContainerRunsOnTheHostsFilesInTheContainersNamespaces) {
  Hook("createContainer", Cat("cat >", At("state"), "; test -f ", At("bundle/config.json"),
                              " && echo $WORD $$ >", At("bundle/rootfs/data/from-hook")));
  Shell("cat /data/from-hook");
  const Finished finished = Run();
  ASSERT_TRUE(finished.status.ok()) << finished.status;
  EXPECT_THAT(finished.output, testing::StartsWith("word "));
  const auto state = ParseJson(ReadFile(At("state")).value_or(""), "state");
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ((*state)["id"], id_);
  EXPECT_EQ((*state)["bundle"], At("bundle"));
  EXPECT_EQ((*state)["status"], "creating");
  EXPECT_GT((*state)["pid"].get<int>(), 1);
}

TEST_F(HooksTest, StartContainerRunsInsideAsTheUser) {
  config_["process"]["user"] = {{"uid", 1000}, {"gid", 1000}};
  Hook("startContainer", "id -u >/tmp/hook; test ! -e /etc/debian_version");
  Shell("cat /tmp/hook");
  const Finished finished = Run();
  ASSERT_TRUE(finished.status.ok()) << finished.status;
  EXPECT_EQ(finished.output, "1000\n");
}

TEST_F(HooksTest, AHookThatFailsEndsTheStart) {
  Hook("createContainer", "echo the card is missing >&2; exit 3");
  absl::Status status = Run().status;
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("createContainer hook /bin/sh exited with 3: the card is missing"));
  config_["hooks"]["createContainer"][0]["path"] = "/no/such/hook";
  EXPECT_THAT(std::string(Run().status.message()), HasSubstr("No such file"));
}

TEST_F(HooksTest, AHookThatHangsIsKilled) {
  Hook("createContainer", "sleep 1000");
  config_["hooks"]["createContainer"][0]["timeout"] = 1;
  const absl::Status status = Run().status;
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

TEST_F(HooksTest, MuchOutputDoesNotHangIt) {
  Hook("createContainer", "head -c 300000 /dev/zero; exit 0");
  EXPECT_TRUE(Run().status.ok());
}

TEST_F(HooksTest, OtherKindsAreNotPassedOver) {
  EXPECT_TRUE(CheckHooks(Json::object()).ok());
  for (const char* name : {"prestart", "createRuntime", "poststart", "poststop"}) {
    Hook(name, "true");
    EXPECT_TRUE(absl::IsUnimplemented(CheckHooks(config_))) << name;
  }
}

}  // namespace
}  // namespace crisp
