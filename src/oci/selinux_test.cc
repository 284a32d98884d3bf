#include "oci/selinux.h"

#include <sys/xattr.h>
#include <unistd.h>

#include "base/text.h"
#include "gmock/gmock.h"
#include "oci/spec_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

namespace v1 = ::runtime::v1;

using SelinuxTest = SpecFixture;

absl::Status CheckLevel(const std::string& level) {
  v1::SELinuxOption options;
  options.set_level(level);
  return CheckSelinuxOptions(options, "selinux_options");
}

TEST_F(SelinuxTest, Levels) {
  for (const char* good : {"", "s0", "s0:c1", "s0:c1,c2", "s0:c0.c1023", "s0-s0:c0.c1023",
                           "s0:c1,c5.c9", "s0:c1-s15:c1,c2"}) {
    EXPECT_TRUE(CheckLevel(good).ok()) << good;
  }
  for (const char* bad : {"wrong", "s", "s0:", "s0:c", "s0:c1024", "s16", "s0:c1,", "s0-", "s0:c1.",
                          "s0:c1 ", "c1", "s0:s0", "s-1", "s0:c-1", "s0:c00001"}) {
    EXPECT_EQ(CheckLevel(bad).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST_F(SelinuxTest, OptionsReplaceWhatTheyName) {
  v1::SELinuxOption options;
  SelinuxLabels labels = BuildSelinuxLabels(options, "s0:c1,c2");
  EXPECT_EQ(labels.process, "system_u:system_r:container_t:s0:c1,c2");
  EXPECT_EQ(labels.mount, "system_u:object_r:container_file_t:s0:c1,c2");
  options.set_user("staff_u");
  options.set_role("staff_r");
  options.set_type("svirt_lxc_net_t");
  options.set_level("s0:c9");
  labels = BuildSelinuxLabels(options, "s0:c1,c2");
  EXPECT_EQ(labels.process, "staff_u:staff_r:svirt_lxc_net_t:s0:c9");
  EXPECT_EQ(labels.mount, "staff_u:object_r:container_file_t:s0:c9");
}

TEST_F(SelinuxTest, BadOptionsAreRefusedEverywhere) {
  for (const bool on_host : {false, true}) {
    limits_.selinux = on_host;
    Context()->mutable_selinux_options()->set_level("wrong");
    EXPECT_THAT(Refused(), HasSubstr("selinux_options.level"));
    Context()->mutable_selinux_options()->set_level("s0");
    Context()->mutable_selinux_options()->set_type("a:b");
    EXPECT_THAT(Refused(), HasSubstr("selinux_options.type"));
    Context()->clear_selinux_options();
  }
}

TEST_F(SelinuxTest, SpecsCarryLabelsOnlyWhereThereIsSelinux) {
  Context()->mutable_selinux_options()->set_level("s0:c7");
  Json config = Config();
  EXPECT_FALSE(config["process"].contains("selinuxLabel"));
  EXPECT_FALSE(config["linux"].contains("mountLabel"));
  limits_.selinux = true;
  pod_facts_.selinux_level = "s0:c1,c2";
  config = Config();
  EXPECT_EQ(config["process"]["selinuxLabel"], "system_u:system_r:container_t:s0:c7");
  EXPECT_EQ(config["linux"]["mountLabel"], "system_u:object_r:container_file_t:s0:c7");
}

TEST_F(SelinuxTest, ContainersOfAPodShareItsLabel) {
  limits_.selinux = true;
  pod_facts_.selinux_level = "s0:c1,c2";
  EXPECT_EQ(Config()["process"]["selinuxLabel"], "system_u:system_r:container_t:s0:c1,c2");
  auto* pods = pod_.mutable_linux()->mutable_security_context();
  pods->mutable_selinux_options()->set_type("pod_t");
  EXPECT_EQ(Config()["process"]["selinuxLabel"], "system_u:system_r:pod_t:s0:c1,c2");
  Context()->mutable_selinux_options()->set_role("own_r");
  EXPECT_EQ(Config()["process"]["selinuxLabel"], "system_u:own_r:container_t:s0:c1,c2");
}

TEST_F(SelinuxTest, PrivilegedKeepsTheMountLabelAlone) {
  limits_.selinux = true;
  pod_facts_.selinux_level = "s0:c1,c2";
  pod_.mutable_linux()->mutable_security_context()->set_privileged(true);
  Context()->set_privileged(true);
  const Json config = Config();
  EXPECT_FALSE(config["process"].contains("selinuxLabel"));
  EXPECT_EQ(config["linux"]["mountLabel"], "system_u:object_r:container_file_t:s0:c1,c2");
}

TEST_F(SelinuxTest, RelabelsATreeButNotBehindLinks) {
  const std::string volume = JoinPath(folder_, "volume"), outside = JoinPath(folder_, "outside");
  ASSERT_TRUE(MakeFolders(JoinPath(volume, "sub")).ok());
  ASSERT_TRUE(ReplaceFile(JoinPath(volume, "sub/file"), "x").ok());
  ASSERT_TRUE(ReplaceFile(outside, "x").ok());
  ASSERT_EQ(symlink(outside.c_str(), JoinPath(volume, "link").c_str()), 0);
  // The kernel keeps security.selinux to itself where SELinux is off; any attribute shows the walk.
  constexpr char kAttribute[] = "trusted.crisp-test";
  ASSERT_TRUE(Relabel(volume, "a:b:c:s0", kAttribute).ok());
  const auto label = [&](const std::string& path) {
    char text[64] = {};
    return lgetxattr(path.c_str(), kAttribute, text, sizeof text - 1) > 0 ? std::string(text) : "";
  };
  EXPECT_EQ(label(volume), "a:b:c:s0");
  EXPECT_EQ(label(JoinPath(volume, "sub/file")), "a:b:c:s0");
  EXPECT_EQ(label(JoinPath(volume, "link")), "a:b:c:s0");
  EXPECT_EQ(label(outside), "");
  EXPECT_TRUE(Relabel("/proc/self/status", "a:b:c:s0", kAttribute).ok()) << "no labels there";
  EXPECT_FALSE(Relabel("/etc", "a:b:c:s0", kAttribute).ok());
  EXPECT_FALSE(Relabel("/usr/", "a:b:c:s0", kAttribute).ok());
}

TEST_F(SelinuxTest, LevelsAreTakenOnce) {
  SelinuxLevels levels;
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string level = levels.Take().value();
    EXPECT_TRUE(CheckLevel(level).ok()) << level;
    EXPECT_TRUE(seen.insert(level).second) << level;
  }
  levels.Drop(*seen.begin());
  levels.Drop("s0:c1,c2");
  levels.Keep("s0:c1,c2");
}

}  // namespace
}  // namespace crisp
