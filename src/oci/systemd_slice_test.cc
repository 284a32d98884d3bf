#include "oci/systemd_slice.h"

#include "gmock/gmock.h"

namespace crisp {
namespace {

TEST(SystemdSlice, ADashGoesDownALevel) {
  EXPECT_EQ(*SliceFolder("a.slice"), "/a.slice");
  EXPECT_EQ(*SliceFolder("a-b-c.slice"), "/a.slice/a-b.slice/a-b-c.slice");
  EXPECT_EQ(*SliceFolder("-.slice"), "/");
  EXPECT_EQ(*SliceFolder("kubepods-pod1_2.slice"), "/kubepods.slice/kubepods-pod1_2.slice");
}

TEST(SystemdSlice, OtherNamesAreRefused) {
  for (const std::string name : {"", ".slice", "a", "a.service", "a--b.slice", "-a.slice",
                                 "a-.slice", "a/b.slice", "a b.slice", "..slice/x"}) {
    EXPECT_EQ(SliceFolder(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_FALSE(SliceFolder(std::string(300, 'a') + ".slice").ok());
}

TEST(SystemdSlice, AScopeIsBelowThePodsSlice) {
  runtime::v1::PodSandboxConfig pod;
  EXPECT_EQ(*ScopePath(pod, "p1", "c1"), "/crisp.slice/crisp-p1.slice/crisp-c1.scope");
  pod.mutable_linux()->set_cgroup_parent(
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx.slice");
  EXPECT_EQ(
      *ScopePath(pod, "p1", "c1"),
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx.slice/crisp-c1.scope");
  pod.mutable_linux()->set_cgroup_parent("system.slice");
  EXPECT_EQ(*ScopePath(pod, "p1", "c1"), "/system.slice/crisp-c1.scope");
  pod.mutable_linux()->set_cgroup_parent("/kubepods/pod1");
  EXPECT_EQ(ScopePath(pod, "p1", "c1").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace crisp
