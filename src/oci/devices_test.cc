#include "oci/devices.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "oci/spec_fixture.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

namespace v1 = ::runtime::v1;

class DevicesTest : public SpecFixture {
 protected:
  void SetUp() override {
    SpecFixture::SetUp();
    dev_ = JoinPath(folder_, "dev");
    for (const char* folder : {"", "/sub", "/pts", "/empty"}) {
      ASSERT_EQ(mkdir((dev_ + folder).c_str(), 0755), 0);
    }
    ASSERT_EQ(mknod((dev_ + "/disk").c_str(), S_IFBLK | 0640, makedev(8, 1)), 0);
    ASSERT_EQ(mknod((dev_ + "/sub/card").c_str(), S_IFCHR | 0600, makedev(226, 0)), 0);
    ASSERT_EQ(mknod((dev_ + "/pts/0").c_str(), S_IFCHR | 0600, makedev(136, 0)), 0);
    ASSERT_EQ(symlink("sub/card", (dev_ + "/link").c_str()), 0);
    ASSERT_TRUE(ReplaceFile(dev_ + "/file", "x").ok());
  }
  v1::Device* Add(const std::string& host_path, const std::string& container_path,
                  const std::string& permissions = "rwm") {
    auto* device = container_.add_devices();
    device->set_host_path(host_path);
    device->set_container_path(container_path);
    device->set_permissions(permissions);
    return device;
  }
  ContainerDevices Devices() {
    const auto devices = BuildDevices(container_, dev_);
    EXPECT_TRUE(devices.ok()) << devices.status();
    return devices.value_or(ContainerDevices());
  }

  std::string dev_;
};

TEST_F(DevicesTest, DefaultRulesAlone) {
  const ContainerDevices devices = Devices();
  EXPECT_TRUE(devices.nodes.empty());
  EXPECT_EQ(devices.rules[0], Json::parse(R"({"allow": false, "access": "rwm"})"));
  EXPECT_EQ(devices.rules.size(), 12u);
}

TEST_F(DevicesTest, OneDevice) {
  Add(dev_ + "/link", "/dev/gpu", "rw");
  const ContainerDevices devices = Devices();
  EXPECT_EQ(devices.nodes, Json::parse(R"([{"path": "/dev/gpu", "type": "c", "major": 226,
      "minor": 0, "fileMode": 384, "uid": 0, "gid": 0}])"));
  EXPECT_EQ(devices.rules.back(), Json::parse(R"({"allow": true, "type": "c", "major": 226,
      "minor": 0, "access": "rw"})"));
}

TEST_F(DevicesTest, FolderBringsAllInside) {
  Add(dev_, "/dev/x", "");
  const ContainerDevices devices = Devices();
  std::set<std::string> paths;
  for (const Json& node : devices.nodes) paths.insert(node["path"]);
  EXPECT_EQ(paths, (std::set<std::string>{"/dev/x/disk", "/dev/x/sub/card"}));
  EXPECT_EQ(devices.rules.back()["access"], "rwm");
}

TEST_F(DevicesTest, PrivilegedHasEveryNodeOnce) {
  Context()->set_privileged(true);
  Add(dev_ + "/sub/card", "/dev/disk");
  const ContainerDevices devices = Devices();
  ASSERT_EQ(devices.nodes.size(), 2u);
  EXPECT_EQ(devices.rules.size(), 1u);
  for (const Json& node : devices.nodes) {
    if (node["path"] != "/dev/disk") continue;
    EXPECT_EQ(node["major"], 226) << "what was asked for wins";
  }
}

TEST_F(DevicesTest, BadOnesAreRefused) {
  const auto refused = [&](const std::string& path, const std::string& permissions) {
    container_.clear_devices();
    Add(path, "/dev/x", permissions);
    return Refused();
  };
  EXPECT_THAT(refused(dev_ + "/absent", "rw"), HasSubstr("absent"));
  EXPECT_THAT(refused(dev_ + "/file", "rw"), HasSubstr("neither"));
  EXPECT_THAT(refused(dev_ + "/empty", "rw"), HasSubstr("without devices"));
  EXPECT_THAT(refused(dev_ + "/disk", "rx"), HasSubstr("\"rx\""));
  EXPECT_THAT(refused("relative", "rw"), HasSubstr("absolute"));
  container_.clear_devices();
  container_.add_cdi_devices()->set_name("no-kind");
  EXPECT_THAT(Refused(), HasSubstr("no-kind"));
  container_.clear_cdi_devices();
  (*container_.mutable_annotations())["cdi.k8s.io/gpu"] = "vendor.com/gpu=0,odd";
  EXPECT_THAT(Refused(), HasSubstr("\"odd\""));
}

}  // namespace
}  // namespace crisp
