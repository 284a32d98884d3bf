#include "registry/reference.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');

TEST(Reference, IsNormalised) {
  const struct {
    std::string text, whole;
  } cases[] = {
      {"busybox", "docker.io/library/busybox:latest"},
      {"busybox:1.36", "docker.io/library/busybox:1.36"},
      {"team/app", "docker.io/team/app:latest"},
      {"index.docker.io/busybox", "docker.io/library/busybox:latest"},
      {"localhost/app", "localhost/app:latest"},
      {"localhost:5000/app:v1", "localhost:5000/app:v1"},
      {"127.0.0.1:5000/a/b/c:v1.2-x_y", "127.0.0.1:5000/a/b/c:v1.2-x_y"},
      {"[::1]:5000/app", "[::1]:5000/app:latest"},
      {"registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"},
      {"registry.k8s.io/pause@" + kDigest, "registry.k8s.io/pause@" + kDigest},
      {"registry.k8s.io/pause:3.10@" + kDigest, "registry.k8s.io/pause@" + kDigest},
      {"a.b/c__d/e---f.g", "a.b/c__d/e---f.g:latest"},
      {"Host/app", "Host/app:latest"},
  };
  for (const auto& c : cases) {
    const auto reference = Reference::Parse(c.text);
    ASSERT_TRUE(reference.ok()) << c.text << ": " << reference.status();
    EXPECT_EQ(reference->Text(), c.whole);
    const auto again = Reference::Parse(reference->Text());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->Text(), c.whole);
  }
}

TEST(Reference, DigestCountsWhenBothAreGiven) {
  const auto reference = Reference::Parse("a/b:c@" + kDigest);
  ASSERT_TRUE(reference.ok());
  EXPECT_EQ(reference->Asked(), kDigest);
  EXPECT_EQ(reference->NameWithTag(), "docker.io/a/b:c");
}

TEST(Reference, WhatIsMalformedIsRefused) {
  for (const std::string& text : {std::string(),
                                  std::string(":tag"),
                                  std::string("UPPER"),
                                  std::string("a b"),
                                  std::string("a/../b"),
                                  std::string("a//b"),
                                  std::string("/a"),
                                  std::string("a/"),
                                  std::string("a:"),
                                  std::string("a:-x"),
                                  std::string("a@sha256:123"),
                                  std::string("a@md5:") + std::string(32, 'a'),
                                  std::string("a.-b"),
                                  std::string("a___b"),
                                  std::string("-a"),
                                  std::string("a_"),
                                  std::string("host:x/app"),
                                  std::string("host:123456/app"),
                                  std::string("-h.x/app"),
                                  std::string("[::1/app"),
                                  std::string("[]/app"),
                                  std::string("a:") + std::string(129, 'x'),
                                  std::string(300, 'a'),
                                  std::string(64, 'a'),
                                  std::string("a\nb"),
                                  std::string("http://host/app"),
                                  std::string("a\0b", 3),
                                  std::string(5000, 'x')}) {
    const auto reference = Reference::Parse(text);
    EXPECT_EQ(reference.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace crisp
