#include "gtest/gtest.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

TEST(ScopeOfAContainer, IsItsCgroupOrTheOneAbove) {
  const char scope[] = "/kubepods.slice/kubepods-pod1.slice/crisp-1.scope";
  EXPECT_EQ(ScopeOf(scope), scope);
  EXPECT_EQ(ScopeOf("/kubepods.slice/kubepods-pod1.slice/crisp-1.scope/container"), scope);
}

TEST(ScopeOfAContainer, IsNoneWithTheOtherDriver) {
  for (const char* path : {"", "/", "/crisp/pod/1", "/kubepods/pod1/container", "/a.scope/1",
                           "/a.scope/container/1"}) {
    EXPECT_EQ(ScopeOf(path), "") << path;
  }
}

}  // namespace
}  // namespace crisp
