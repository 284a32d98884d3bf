#include "oci/image_config.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(ImageConfig, Whole) {
  const auto image = ParseImageConfig(Json::parse(R"json({
    "architecture": "amd64",
    "config": {
      "Entrypoint": ["/init"], "Cmd": ["a", "b"], "Env": ["A=1"], "User": "www:staff",
      "WorkingDir": "/srv", "StopSignal": "SIGQUIT", "Volumes": {"/z": {}, "/data": {}},
      "Labels": {"k": "v"}, "ExposedPorts": {"80/tcp": {}}
    },
    "rootfs": {"type": "layers", "diff_ids": []}
  })json"));
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_THAT(image->entrypoint, ElementsAre("/init"));
  EXPECT_THAT(image->cmd, ElementsAre("a", "b"));
  EXPECT_THAT(image->env, ElementsAre("A=1"));
  EXPECT_EQ(image->user, "www:staff");
  EXPECT_EQ(image->working_dir, "/srv");
  EXPECT_EQ(image->stop_signal, "SIGQUIT");
  EXPECT_THAT(image->volumes, ElementsAre("/data", "/z"));
  EXPECT_THAT(image->labels, ElementsAre(Pair("k", "v")));
}

TEST(ImageConfig, NothingThere) {
  for (const char* text : {"{}", R"({"config": null})", R"({"config": {}})",
                           R"({"config": {"Entrypoint": null, "Volumes": null, "User": null}})"}) {
    const auto image = ParseImageConfig(Json::parse(text));
    ASSERT_TRUE(image.ok()) << text;
    EXPECT_THAT(image->entrypoint, IsEmpty());
  }
}

TEST(ImageConfig, HostileOnesAreRefused) {
  for (const char* text :
       {"[]", "null", R"({"config": []})", R"({"config": {"Cmd": "x"}})",
        R"({"config": {"Cmd": [1]}})", R"({"config": {"User": 5}})",
        R"({"config": {"Volumes": ["/x"]}})", R"({"config": {"Env": ["A=\u0000"]}})",
        R"({"config": {"Labels": {"a": 1}}})"}) {
    EXPECT_EQ(ParseImageConfig(Json::parse(text)).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
  Json big;
  for (int i = 0; i < 40; ++i) big["config"]["Env"].push_back(std::string(32 << 10, 'x'));
  EXPECT_THAT(std::string(ParseImageConfig(big).status().message()), HasSubstr("1 MiB"));
}

}  // namespace
}  // namespace crisp
