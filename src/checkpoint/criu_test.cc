// The probe and the run of CRIU, with programs that only look like it.
#include "checkpoint/criu.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"
#include "checkpoint/external_mounts.h"

namespace crisp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CriuTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/criu-test.XXXXXX";
    folder_ = mkdtemp(pattern);
  }
  void TearDown() override { (void)RemoveTree(folder_); }
  std::string Script(const std::string& body) {
    const std::string path = JoinPath(folder_, "criu");
    EXPECT_TRUE(ReplaceFile(path, Cat("#!/bin/sh\n", body, "\n"), 0755).ok());
    return path;
  }
  static Call Soon() { return Call{}.Within(absl::Seconds(20)); }
  std::string folder_;
};

TEST_F(CriuTest, OneThatWorksIsAskedOnce) {
  const std::string log = JoinPath(folder_, "asked");
  Criu criu(Script(Cat("echo $1 >>", log, "; echo 'Version: 4.1.1'")));
  EXPECT_FALSE(criu.Known().ok());
  EXPECT_TRUE(criu.Ready(Soon()).ok());
  EXPECT_TRUE(criu.Ready(Soon()).ok());
  EXPECT_TRUE(criu.Known().ok());
  EXPECT_EQ(criu.version(), "4.1.1");
  EXPECT_EQ(ReadFile(log).value(), "--version\ncheck\n");
}

TEST_F(CriuTest, WhatDoesNotServeIsExplained) {
  const auto words = [&](Criu criu) {
    const absl::Status status = criu.Ready(Soon());
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_EQ(criu.Known(), status);
    return status.ToString();
  };
  EXPECT_THAT(words(Criu("")), HasSubstr("switched off"));
  EXPECT_THAT(words(Criu("no-such-criu")), HasSubstr("install CRIU 4"));
  EXPECT_THAT(words(Criu(JoinPath(folder_, "nothing"))), HasSubstr("checkpoint.criu"));
  EXPECT_THAT(words(Criu(Script("echo 'Version: 3.17.1'"))), HasSubstr("too old"));
  EXPECT_THAT(words(Criu(Script("echo 'Version: 4.0'; [ $1 != check ] || { echo "
                                "'Error (criu/vdso.c:1): no vdso' >&2; exit 1; }"))),
              HasSubstr("no vdso"));
}

TEST_F(CriuTest, ItMayBeInstalledLater) {
  const std::string path = JoinPath(folder_, "criu");
  Criu criu(path);
  EXPECT_FALSE(criu.Ready(Soon()).ok());
  Script("echo 'Version: 4.1.1'");
  EXPECT_TRUE(criu.Ready(Soon()).ok());
  EXPECT_EQ(criu.path(), path);
}

TEST_F(CriuTest, ADumpThatFailsTellsWhatTheLogSays) {
  Criu criu(
      Script(Cat("echo 'Version: 4.1.1'; [ $1 != dump ] || { echo '(00.1) Error (a.c:1): no "
                 "way' >",
                 folder_, "/dump.log; exit 1; }")));
  ASSERT_TRUE(criu.Ready(Soon()).ok());
  const absl::Status status = criu.Dump({.pid = 1, .images = folder_, .work = folder_}, Soon());
  EXPECT_TRUE(absl::IsInternal(status));
  EXPECT_THAT(status.ToString(), HasSubstr("no way"));
}

TEST_F(CriuTest, ADumpEndsWithTheCall) {
  Criu criu(Script("echo 'Version: 4.1.1'; [ $1 != dump ] || exec sleep 1000"));
  ASSERT_TRUE(criu.Ready(Soon()).ok());
  const absl::Status status = criu.Dump({.pid = 1, .images = folder_, .work = folder_},
                                        Call{}.Within(absl::Milliseconds(300)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

TEST(CriuTexts, VersionsAndInodes) {
  EXPECT_EQ(CriuVersionIn("Version: 4.1.1\nGitID: x\n"), "4.1.1");
  EXPECT_EQ(CriuVersionIn("criu"), "");
  EXPECT_EQ(NamespaceInode("net:[4026531840]"), 4026531840u);
  EXPECT_EQ(NamespaceInode("net:[x]"), 0u);
  EXPECT_EQ(NamespaceInode(""), 0u);
}

TEST(ExternalMounts, OfConfigJson) {
  const Json config = {
      {"mounts",
       {{{"destination", "/data/"}, {"type", "bind"}, {"source", "/host/data"}},
        {{"destination", "/x"}, {"source", "relative"}, {"options", {"ro", "rbind"}}},
        {{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}}}}};
  std::vector<std::string> found;
  for (const BindSource& one : BindSourcesOf(config, "/bundle")) {
    found.push_back(Cat(one.key, "=", one.source));
  }
  EXPECT_THAT(found, ElementsAre("/data=/host/data", "/x=/bundle/relative"));
  EXPECT_TRUE(BindSourcesOf(Json::array(), "/").empty());
  // This process has none of these mounts.
  const auto own = ExternalMountsOf(getpid(), Json::object());
  ASSERT_TRUE(own.ok()) << own.status();
  for (const ExternalMount& mount : *own) EXPECT_EQ(mount.point, mount.key);
}

}  // namespace
}  // namespace crisp
