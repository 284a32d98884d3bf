#include "oci/runtime_features.h"

#include <gtest/gtest.h>

namespace crisp {
namespace {

TEST(RuntimeFeaturesTest, ListsAreRead) {
  EXPECT_EQ(ParseRuntimeFeatures(R"({"mountOptions":["ro","rro"],"linux":{"namespaces":["user"],
      "mountExtensions":{"idmap":{"enabled":true}}}})"),
            (RuntimeFeatures{true, true}));
  // Without id-mapped mounts a user namespace has no root file system.
  EXPECT_EQ(ParseRuntimeFeatures(R"({"mountOptions":["rro"],"linux":{"namespaces":["user"]}})"),
            (RuntimeFeatures{true, false}));
}

TEST(RuntimeFeaturesTest, WhatIsNotSaidIsNotThere) {
  for (const char* text : {"", "unknown command features", "[]", "{}", R"({"mountOptions":"rro"})",
                           R"({"linux":{"namespaces":{},"mountExtensions":[]}})"}) {
    EXPECT_EQ(ParseRuntimeFeatures(text), RuntimeFeatures()) << text;
  }
}

}  // namespace
}  // namespace crisp
