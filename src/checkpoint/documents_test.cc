#include "checkpoint/documents.h"

#include <gmock/gmock.h>

namespace crisp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Documents, ConfigDumpHasTheKeysThatOthersRead) {
  ConfigDump config;
  config.id = "abc";
  config.name = "main";
  config.rootfs_image = "busybox:1";
  config.rootfs_image_ref = "sha256:1";
  config.rootfs_image_name = "docker.io/library/busybox:1";
  config.runtime = "crisp";
  config.created = 1700000000123456789;
  config.checkpointed = 1700000001000000000;
  const Json json = ConfigDumpJson(config);
  for (const char* key :
       {"id", "name", "rootfsImage", "rootfsImageRef", "rootfsImageName", "runtime", "createdTime",
        "checkpointedTime", "restoredTime", "restored"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_EQ(json["createdTime"], "2023-11-14T22:13:20.123456789Z");
  EXPECT_EQ(json["restoredTime"], "0001-01-01T00:00:00Z");
  EXPECT_EQ(json["restored"], false);
  const absl::StatusOr<ConfigDump> back = ParseConfigDump(JsonText(json));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->rootfs_image_ref, "sha256:1");
  EXPECT_EQ(back->created, config.created);
  EXPECT_EQ(back->restored, 0);
}

TEST(Documents, AConfigDumpOfPodmanIsRead) {
  const auto config = ParseConfigDump(R"({"id":"1","name":"x","rootfsImage":"id","rootfsImageName":
    "quay.io/x:1","runtime":"crun","createdTime":"2023-01-02T03:04:05.6+01:00","checkpointedTime":
    "2023-01-02T03:04:06Z","restored":false,"more":{"of":"it"}})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rootfs_image_name, "quay.io/x:1");
  EXPECT_EQ(TimeText(config->created), "2023-01-02T02:04:05.600000000Z");
}

TEST(Documents, PodmansNameOfAnImagesId) {
  const auto config = ParseConfigDump(
      R"({"id":"1","spec":null,"rootfsImageID":"abc","rootfsImageName":"localhost/x:1"})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rootfs_image_ref, "abc");
}

TEST(Documents, TheSpecTellsWhatCameFromOutside) {
  const auto spec = ParseSpecDump(R"({"mounts":[{"destination":"/proc","type":"proc"},
    {"destination":"/etc//hosts","type":"bind"},{"destination":"/a","options":["ro","rbind"]},
    {"type":"bind"},{"destination":1,"type":"bind"},{"destination":"/x]:y","type":"bind"},1],
    "linux":{"maskedPaths":["/proc/keys",1,"","/a]"]}})");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(spec->binds, ElementsAre("/etc/hosts", "/a"));
  EXPECT_THAT(spec->masked, ElementsAre("/proc/keys"));
}

TEST(Documents, WhatIsWrongIsNamed) {
  const auto message = [](const char* text) {
    return std::string(ParseConfigDump(text).status().message());
  };
  EXPECT_THAT(message("[]"), HasSubstr("config.dump: it is no object"));
  EXPECT_THAT(message("{}"), HasSubstr("which image"));
  EXPECT_THAT(message(R"({"rootfsImage":1})"), HasSubstr("rootfsImage is no text"));
  EXPECT_THAT(message(R"({"rootfsImage":"x","createdTime":"now"})"), HasSubstr("RFC 3339"));
}

TEST(Documents, DeletedFilesAreCleanPaths) {
  const auto deleted = ParseDeletedFiles(R"(["/etc/x", "data/../data/y", "/../../z"])");
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_THAT(*deleted, ElementsAre("/etc/x", "/data/y", "/z"));
  EXPECT_TRUE(ParseDeletedFiles("null")->empty());
  EXPECT_FALSE(ParseDeletedFiles(R"(["/"])").ok());
  EXPECT_FALSE(ParseDeletedFiles(R"([1])").ok());
}

TEST(Documents, BindMountsThereAndBack) {
  const auto mounts = ParseBindMounts(
      JsonText(BindMountsJson({{"/host/x", "/x", true}, {"/host/f", "/f", false}})));
  ASSERT_TRUE(mounts.ok()) << mounts.status();
  ASSERT_EQ(mounts->size(), 2);
  EXPECT_EQ((*mounts)[0].source, "/host/x");
  EXPECT_TRUE((*mounts)[0].folder);
  EXPECT_FALSE(ParseBindMounts(R"([{"destination":"x"}])").ok());
}

TEST(Documents, TheSpecTellsWhatCannotBeRestored) {
  const auto spec = ParseSpecDump(R"({"process":{"terminal":true,"args":["sh","-c"]},
    "linux":{"namespaces":[{"type":"user","path":"/x"}]}})");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(spec->terminal);
  EXPECT_TRUE(spec->user_namespace);
  EXPECT_THAT(spec->args, ElementsAre("sh", "-c"));
}

TEST(Documents, PodOptionsNameFiles) {
  PodOptionsDump options;
  options.containers = {{"main", "1"}, {"side", "2"}};
  const auto back = ParsePodOptions(JsonText(PodOptionsJson(options, Json::object())));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->containers, options.containers);
  EXPECT_TRUE(absl::IsUnimplemented(ParsePodOptions(R"({"version":2})").status()));
  EXPECT_FALSE(ParsePodOptions(R"({"version":1,"containers":{"../x":"1"}})").ok());
  EXPECT_FALSE(ParsePodOptions(R"({"version":1,"containers":{}})").ok());
}

}  // namespace
}  // namespace crisp
