#include "cri/image_reply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/text.h"

namespace crisp {
namespace {

ImageRecord WithUser(const std::string& user) {
  ImageRecord record;
  record.id = "sha256:abc";
  record.size = 7;
  record.repo_tags = {"docker.io/library/a:1"};
  record.repo_digests = {"docker.io/library/a@sha256:def"};
  record.config_json = JsonText({{"config", {{"User", user}}}});
  return record;
}

TEST(ImageReply, CarriesNamesAndSize) {
  ImageRecord record = WithUser("");
  record.pinned = true;
  const auto image = ImageMessage(record);
  EXPECT_EQ(image.id(), "sha256:abc");
  EXPECT_EQ(image.size(), 7u);
  EXPECT_TRUE(image.pinned());
  EXPECT_THAT(image.repo_tags(), testing::ElementsAre("docker.io/library/a:1"));
  EXPECT_THAT(image.repo_digests(), testing::ElementsAre("docker.io/library/a@sha256:def"));
}

TEST(ImageReply, UserIsANumberOrANameNeverBoth) {
  const auto number = ImageMessage(WithUser("1002:50"));
  EXPECT_TRUE(number.has_uid());
  EXPECT_EQ(number.uid().value(), 1002);
  EXPECT_EQ(number.username(), "");
  const auto name = ImageMessage(WithUser("www-data:www"));
  EXPECT_FALSE(name.has_uid());
  EXPECT_EQ(name.username(), "www-data");
  // None given means root.
  const auto none = ImageMessage(WithUser(""));
  EXPECT_TRUE(none.has_uid());
  EXPECT_EQ(none.uid().value(), 0);
  EXPECT_EQ(ImageMessage(WithUser("12x")).username(), "12x");
}

TEST(ImageReply, ABrokenConfigIsNoHindrance) {
  ImageRecord record = WithUser("");
  for (const char* config : {"", "[", "[]", R"({"config": 3})"}) {
    record.config_json = config;
    EXPECT_EQ(ImageMessage(record).username(), "") << config;
    EXPECT_TRUE(ParseJson(ImageInfo(record).at("info"), "info").ok()) << config;
  }
}

TEST(ImageReply, VerboseInfoIsOneJsonObject) {
  const auto info = ParseJson(ImageInfo(WithUser("7")).at("info"), "info");
  ASSERT_TRUE(info.ok());
  EXPECT_EQ((*info)["imageSpec"]["config"]["User"], "7");
}

TEST(ImageReply, ARequestMustNameAnImage) {
  runtime::v1::ImageSpec spec;
  EXPECT_TRUE(absl::IsInvalidArgument(ImageNameOf(false, spec).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ImageNameOf(true, spec).status()));
  spec.set_image("x");
  EXPECT_EQ(*ImageNameOf(true, spec), "x");
}

TEST(ImageReply, CredentialsKeepEveryField) {
  runtime::v1::AuthConfig auth;
  auth.set_username("u");
  auth.set_password("p");
  auth.set_auth("a");
  auth.set_server_address("s");
  auth.set_identity_token("i");
  auth.set_registry_token("r");
  EXPECT_EQ(CredentialsOf(auth), (RegistryCredentials{.username = "u",
                                                      .password = "p",
                                                      .auth = "a",
                                                      .server_address = "s",
                                                      .identity_token = "i",
                                                      .registry_token = "r"}));
}

}  // namespace
}  // namespace crisp
