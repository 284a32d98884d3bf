#include "oci/oci_runtime.h"

#include <gtest/gtest.h>

namespace crisp {
namespace {

TEST(OciRuntimeTest, VersionTwoIsTheProgramsOnlyWhereItIsAlone) {
  DaemonLimits host;
  host.unified = true;
  EXPECT_FALSE(LimitsOfRuntime(host).unified);
  host.cgroup_v2 = true;
  EXPECT_TRUE(LimitsOfRuntime(host).unified);
}

TEST(OciRuntimeTest, WhatARuntimeWouldTripOverIsTakenOut) {
  const Json config = {
      {"annotations",
       {{"io.kubernetes.cri.container-type", "container"},
        {"io.kubernetes.cri.sandbox-id", "x"},
        {"io.kubernetes.cri.sandbox-name", "name"}}},
      {"linux",
       {{"resources", {{"hugepageLimits", {{{"pageSize", "2MB"}, {"limit", 0}}}}, {"pids", {}}}}}}};
  DaemonLimits host;
  host.runtime_huge_pages = true;
  Json fitted = config;
  FitToRuntime(fitted, host);
  EXPECT_TRUE(fitted["linux"]["resources"].contains("hugepageLimits"));
  EXPECT_EQ(fitted["annotations"].size(), 1u);
  host.runtime_huge_pages = false;
  FitToRuntime(fitted, host);
  EXPECT_EQ(fitted["linux"]["resources"].size(), 1u);
}

}  // namespace
}  // namespace crisp
