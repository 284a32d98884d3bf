#include "oci/cdi.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/text.h"
#include "gmock/gmock.h"
#include "oci/spec_fixture.h"
#include "oci/yaml.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CdiTest : public SpecFixture {
 protected:
  void SetUp() override {
    SpecFixture::SetUp();
    for (const char* name : {"etc", "run"}) {
      ASSERT_TRUE(MakeFolders(JoinPath(folder_, name)).ok());
      facts_.cdi_folders.push_back(JoinPath(folder_, name));
    }
    ASSERT_EQ(mknod(JoinPath(folder_, "node").c_str(), S_IFCHR | 0640, makedev(1, 3)), 0);
  }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(ReplaceFile(JoinPath(folder_, name), text).ok());
  }
  // A specification of one device with these edits.
  void WriteDevice(const std::string& file, const std::string& device, const std::string& edits,
                   const std::string& common = "{}") {
    Write(file,
          Cat(R"({"cdiVersion": "0.6.0", "kind": "vendor.com/gpu", "containerEdits": )", common,
              R"(, "devices": [{"name": ")", device, R"(", "containerEdits": )", edits, "}]}"));
  }
  void Ask(const std::string& name) { container_.add_cdi_devices()->set_name(name); }
};

TEST_F(CdiTest, NamesOfFieldAndAnnotations) {
  Ask("vendor.com/gpu=0");
  (*container_.mutable_annotations())["cdi.k8s.io/b"] = "vendor.com/gpu=1, vendor.com/gpu=0";
  (*container_.mutable_annotations())["cdi.k8s.io/a"] = "vendor.com/nic=eth0";
  (*container_.mutable_annotations())["other"] = "x";
  EXPECT_THAT(CdiNames(container_).value(),
              ElementsAre("vendor.com/gpu=0", "vendor.com/nic=eth0", "vendor.com/gpu=1"));
  for (const char* bad :
       {"", "gpu=0", "vendor.com/gpu", "vendor.com/gpu=", "=0", "/gpu=0", "vendor.com/=0",
        "vendor.com/g pu=0", "9.com/gpu=0", "vendor.com/gpu=-"}) {
    container_.clear_cdi_devices();
    Ask(bad);
    EXPECT_EQ(CdiNames(container_).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST_F(CdiTest, AllEdits) {
  WriteDevice("etc/gpu.json", "0",
              Cat(R"({"env": ["GPU=0", "PATH=/vendor"],
                      "deviceNodes": [{"path": "/dev/gpu", "hostPath": ")",
                  folder_, R"(/node", "permissions": "rw"}],
                      "mounts": [{"hostPath": "/lib", "containerPath": "/lib/vendor",
                                  "options": ["ro"]}],
                      "hooks": [{"hookName": "createContainer", "path": "/bin/true",
                                 "args": ["true"], "timeout": 5}],
                      "additionalGids": [44, 0]})"),
              R"({"env": ["COMMON=1"]})");
  Ask("vendor.com/gpu=0");
  const auto spec = Build();
  ASSERT_TRUE(spec.ok()) << spec.status();
  const Json& config = spec->config;
  const Json& env = config["process"]["env"];
  for (const char* variable : {"GPU=0", "COMMON=1", "PATH=/vendor"}) {
    EXPECT_NE(std::find(env.begin(), env.end(), variable), env.end()) << variable;
  }
  EXPECT_EQ(config["linux"]["devices"][0],
            Json::parse(R"({"path": "/dev/gpu", "type": "c", "major": 1, "minor": 3,
                            "fileMode": 416, "uid": 0, "gid": 0})"));
  EXPECT_EQ(config["linux"]["resources"]["devices"].back(),
            Json::parse(R"({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"})"));
  EXPECT_EQ(MountAt(config, "/lib/vendor")["options"], Json({"bind", "ro"}));
  EXPECT_EQ(config["hooks"]["createContainer"][0]["timeout"], 5);
  EXPECT_EQ(config["process"]["user"]["additionalGids"], Json({0, 44}));
  EXPECT_THAT(spec->user.linux().supplemental_groups(), ElementsAre(0, 44));
}

TEST_F(CdiTest, InAUserNamespaceNodesAreBound) {
  WriteDevice(
      "etc/gpu.json", "0",
      Cat(R"({"deviceNodes": [{"path": "/dev/gpu", "hostPath": ")", folder_, R"(/node"}]})"));
  Ask("vendor.com/gpu=0");
  pod_facts_.user_path = "/run/crisp/pods/p1/user";
  pod_facts_.id_maps = {{{0, 100000, 65536}}, {{0, 100000, 65536}}};
  const Json config = Config();
  EXPECT_FALSE(config["linux"].contains("devices"));
  EXPECT_EQ(MountAt(config, "/dev/gpu")["source"], JoinPath(folder_, "node"));
}

TEST_F(CdiTest, TheLaterFolderWinsAndOneFolderMustAgree) {
  WriteDevice("etc/gpu.json", "0", R"({"env": ["FROM=etc"]})");
  WriteDevice("run/gpu.json", "0", R"({"env": ["FROM=run"]})");
  EXPECT_THAT(ResolveCdi({"vendor.com/gpu=0"}, facts_.cdi_folders)->env, ElementsAre("FROM=run"));
  WriteDevice("run/twin.json", "0", R"({"env": ["FROM=twin"]})");
  EXPECT_THAT(std::string(ResolveCdi({"vendor.com/gpu=0"}, facts_.cdi_folders).status().message()),
              HasSubstr("is in both"));
}

TEST_F(CdiTest, WhatIsNotThereIsAnErrorThatNamesIt) {
  Ask("vendor.com/gpu=7");
  EXPECT_THAT(Refused(), HasSubstr("vendor.com/gpu=7 is in no specification"));
  Write("etc/broken.json", "{");
  EXPECT_THAT(Refused(), HasSubstr("broken.json"));
  WriteDevice("run/gpu.json", "7", R"({"deviceNodes": [{"path": "/dev/no-such-node"}]})");
  EXPECT_THAT(Refused(), HasSubstr("/dev/no-such-node"));
  WriteDevice("run/gpu.json", "7", R"({"deviceNodes": [{"path": "/etc/passwd"}]})");
  EXPECT_THAT(Refused(), HasSubstr("no device node"));
  WriteDevice("run/gpu.json", "7", "{}");
  EXPECT_TRUE(Build().ok()) << "a broken file beside it does no harm";
}

TEST_F(CdiTest, BadFieldsAreNamed) {
  const auto why = [](const std::string& edits) {
    const auto spec = ParseCdiSpec(
        Cat(R"({"cdiVersion": "0.6.0", "kind": "a.b/c", "devices": [{"name": "x", "containerEdits": )",
            edits, "}]}"),
        "f.json");
    return spec.ok() ? "" : std::string(spec.status().message());
  };
  EXPECT_EQ(why("{}"), "");
  EXPECT_THAT(why(R"({"env": ["X"]})"), HasSubstr("f.json: device x: env"));
  EXPECT_THAT(why(R"({"env": "X=1"})"), HasSubstr("env is no list"));
  EXPECT_THAT(why(R"({"deviceNodes": [{"path": "dev"}]})"), HasSubstr("deviceNodes.path"));
  EXPECT_THAT(why(R"({"deviceNodes": [{"path": "/d", "type": "x"}]})"), HasSubstr("type"));
  EXPECT_THAT(why(R"({"deviceNodes": [{"path": "/d", "permissions": "rx"}]})"),
              HasSubstr("permissions"));
  EXPECT_THAT(why(R"({"deviceNodes": [{"path": "/d", "major": -1}]})"), HasSubstr("major"));
  EXPECT_THAT(why(R"({"mounts": [{"hostPath": "/a"}]})"), HasSubstr("containerPath"));
  EXPECT_THAT(why(R"({"hooks": [{"hookName": "odd", "path": "/x"}]})"), HasSubstr("hookName"));
  EXPECT_THAT(why(R"({"hooks": [{"hookName": "poststop", "path": "/x"}]})"),
              HasSubstr("not poststop"));
  EXPECT_THAT(why(R"({"netDevices": [{"hostInterfaceName": "x"}]})"), HasSubstr("netDevices"));
  EXPECT_THAT(why(R"({"additionalGids": ["x"]})"), HasSubstr("additionalGids"));
}

TEST_F(CdiTest, YamlIsReadToo) {
  Write("run/nic.yaml",
        "cdiVersion: \"0.5.0\"\nkind: vendor.com/nic\ndevices:\n- name: eth0\n"
        "  containerEdits:\n    env:\n    - NIC=eth0\n");
  EXPECT_THAT(ResolveCdi({"vendor.com/nic=eth0"}, facts_.cdi_folders)->env,
              ElementsAre("NIC=eth0"));
}

TEST(Yaml, ScalarsAndWhatIsRefused) {
  EXPECT_EQ(ParseYaml("a: 1\nb: \"1\"\nc: true\nd: ~\ne: 0x10\nf: text\ng: -3\nh:\n", "x").value(),
            Json::parse(R"({"a": 1, "b": "1", "c": true, "d": null, "e": 16, "f": "text", "g": -3,
                            "h": null})"));
  EXPECT_EQ(ParseYaml("&a [1, 2]", "x").value(), Json({1, 2}));
  std::string laughs = "a: &a0 [x, x]\n";
  for (int i = 1; i < 40; ++i)
    laughs += Cat("k", i, ": &a", i, " [*a", i - 1, ", *a", i - 1, "]\n");
  EXPECT_THAT(std::string(ParseYaml(laughs, "x").status().message()), HasSubstr("x: it "));
  for (const char* bad : {"", "a: [", "a: *none", "? [1]\n: 2", "a: 1\na: 2", "\t", "a: &x [*x]"}) {
    EXPECT_FALSE(ParseYaml(bad, "x").ok()) << bad;
  }
  EXPECT_FALSE(ParseYaml(std::string(100000, '['), "x").ok());
}

}  // namespace
}  // namespace crisp
