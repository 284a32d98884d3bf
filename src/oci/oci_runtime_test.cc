#include "oci/oci_runtime.h"

#include <gtest/gtest.h>

namespace crisp {
namespace {

TEST(OciRuntimeTest, LimitsAreThoseOfHostAndProgram) {
  DaemonLimits host;
  host.unified = true;
  EXPECT_FALSE(LimitsOfRuntime(host, {}).recursive_read_only);
  EXPECT_TRUE(LimitsOfRuntime(host, {true, false}).recursive_read_only);
  EXPECT_FALSE(LimitsOfRuntime(host, {}).unified);  // a hybrid host
  host.cgroup_v2 = true;
  EXPECT_TRUE(LimitsOfRuntime(host, {}).unified);
  host.recursive_read_only = false;
  EXPECT_FALSE(LimitsOfRuntime(host, {true, false}).recursive_read_only);
  EXPECT_TRUE(host.user_namespaces.ok());
  EXPECT_FALSE(LimitsOfRuntime(host, {true, false}).user_namespaces.ok());
  EXPECT_TRUE(LimitsOfRuntime(host, {true, true}).user_namespaces.ok());
  host.user_namespaces = absl::FailedPreconditionError("too old a kernel");
  EXPECT_EQ(LimitsOfRuntime(host, {true, true}).user_namespaces, host.user_namespaces);
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
