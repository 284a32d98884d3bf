// CDI devices, from their specifications to the container's program.
#include "base/file.h"
#include "base/text.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

class Cdi : public NodeTest {
 protected:
  std::string ExtraConfig() override {
    return Cat("[container]\ncdi_dirs = [\"", folder() / "volumes/cdi", "\"]\n");
  }
  void SetUp() override {
    NodeTest::SetUp();
    ASSERT_THAT(MakeFolders(folder() / "volumes/cdi"), IsOk());
    ASSERT_THAT(ReplaceFile(folder() / "volumes/vendor", "vendor\n"), IsOk());
    ASSERT_THAT(
        ReplaceFile(folder() / "volumes/cdi/card.yaml",
                    Cat("cdiVersion: \"0.6.0\"\nkind: vendor.com/card\ndevices:\n- name: \"0\"\n"
                        "  containerEdits:\n    env: [CARD=zero]\n"
                        "    deviceNodes:\n    - {path: /dev/card0, hostPath: /dev/zero}\n"
                        "    mounts:\n    - {hostPath: ",
                        folder() / "volumes/vendor",
                        ", containerPath: /usr/lib/vendor, options: [ro]}\n"
                        "    hooks:\n    - hookName: createContainer\n      path: /bin/sh\n"
                        "      args: [sh, -c, \"cat >",
                        folder() / "volumes/state", "\"]\n    additionalGids: [77]\n")),
        IsOk());
  }
};

TEST_F(Cdi, ADeviceByFieldOrAnnotation) {
  const Pod pod = RunPod("card");
  for (const bool by_field : {true, false}) {
    v1::ContainerConfig config = ContainerConfig(
        by_field ? "field" : "annotation",
        Shell("echo $CARD; cat /usr/lib/vendor; head -c 3 /dev/card0 | wc -c; id -G"));
    if (by_field) {
      config.add_cdi_devices()->set_name("vendor.com/card=0");
    } else {
      (*config.mutable_annotations())["cdi.k8s.io/card"] = "vendor.com/card=0";
    }
    EXPECT_EQ(RunToEnd(pod, config), "zero\nvendor\n3\n0 77\n");
    EXPECT_THAT(ReadFile(folder() / "volumes/state").value_or(""),
                testing::HasSubstr("\"status\":\"creating\""));
    EXPECT_THAT(RemoveFile(folder() / "volumes/state"), IsOk());
  }
}

TEST_F(Cdi, WhatNoSpecificationHasIsRefused) {
  const Pod pod = RunPod("none");
  v1::ContainerConfig config = ContainerConfig("main", Shell("true"));
  config.add_cdi_devices()->set_name("vendor.com/card=9");
  EXPECT_THAT(cri().CreateContainer(pod.id, config, pod.config),
              Fails(absl::StatusCode::kInvalidArgument, "vendor.com/card=9"));
}

}  // namespace
}  // namespace crisp
