#include "oci/runtime_features.h"

#include <gtest/gtest.h>

namespace crisp {
namespace {

TEST(RuntimeFeaturesTest, ListsAreRead) {
  EXPECT_EQ(ParseRuntimeFeatures(
                R"({"mountOptions":["ro","rro"],"linux":{"namespaces":["pid","user"]}})"),
            (RuntimeFeatures{true, true}));
  EXPECT_EQ(ParseRuntimeFeatures(R"({"mountOptions":["rro"],"linux":{"namespaces":["pid"]}})"),
            (RuntimeFeatures{true, false}));
}

TEST(RuntimeFeaturesTest, WhatIsNotSaidIsNotThere) {
  for (const char* text : {"", "unknown command features", "[]", "{}", R"({"mountOptions":"rro"})",
                           R"({"linux":{"namespaces":{}}})"}) {
    EXPECT_EQ(ParseRuntimeFeatures(text), RuntimeFeatures()) << text;
  }
}

}  // namespace
}  // namespace crisp
