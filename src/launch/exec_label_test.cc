#include "launch/exec_label.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "launch/kernel_settings.h"

namespace crisp {
namespace {

using testing::HasSubstr;

// A folder in the place of /proc/PID/attr: what is written there is what the kernel would get.
class ExecLabelTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-attr-XXXXXX";
    folder_ = ::mkdtemp(name);
    attr_ = *OpenFile(folder_, O_PATH | O_DIRECTORY);
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }
  void Make(const std::string& name) {
    ASSERT_TRUE(MakeFolders(FolderOf(JoinPath(folder_, name))).ok());
    ASSERT_TRUE(ReplaceFile(JoinPath(folder_, name), "").ok());
  }
  std::string Content(const std::string& name) const {
    return ReadFile(JoinPath(folder_, name)).value_or("(none)");
  }

  std::string folder_;
  UniqueFd attr_;
};

TEST_F(ExecLabelTest, NothingIsWrittenWithoutALabel) {
  Make("exec");
  EXPECT_TRUE(WriteExecLabels(attr_.get(), Json::object()).ok());
  EXPECT_EQ(Content("exec"), "");
}

TEST_F(ExecLabelTest, AppArmorsOwnFileIsPreferred) {
  Make("exec");
  Make("apparmor/exec");
  EXPECT_TRUE(WriteExecLabels(attr_.get(), {{"apparmorProfile", "tight"}}).ok());
  EXPECT_EQ(Content("apparmor/exec"), "exec tight");
  EXPECT_EQ(Content("exec"), "");
}

TEST_F(ExecLabelTest, AnOlderKernelHasTheCommonFile) {
  Make("exec");
  EXPECT_TRUE(WriteExecLabels(attr_.get(), {{"apparmorProfile", "tight"}}).ok());
  EXPECT_EQ(Content("exec"), "exec tight");
}

TEST_F(ExecLabelTest, SelinuxAndBoth) {
  Make("exec");
  Make("apparmor/exec");
  const Json process = {{"apparmorProfile", "tight"},
                        {"selinuxLabel", "system_u:system_r:container_t:s0:c1,c2"}};
  EXPECT_TRUE(WriteExecLabels(attr_.get(), process).ok());
  EXPECT_EQ(Content("exec"), "system_u:system_r:container_t:s0:c1,c2");
  EXPECT_EQ(Content("apparmor/exec"), "exec tight");
}

TEST_F(ExecLabelTest, AKernelWithoutTheModuleSaysSo) {
  const absl::Status apparmor = WriteExecLabels(attr_.get(), {{"apparmorProfile", "tight"}});
  EXPECT_TRUE(absl::IsFailedPrecondition(apparmor)) << apparmor;
  EXPECT_THAT(std::string(apparmor.message()), HasSubstr("no AppArmor"));
  const absl::Status selinux = WriteExecLabels(attr_.get(), {{"selinuxLabel", "a:b:c:s0"}});
  EXPECT_THAT(std::string(selinux.message()), HasSubstr("no SELinux"));
}

TEST_F(ExecLabelTest, LinksAreNotFollowed) {
  Make("elsewhere");
  ASSERT_EQ(::symlink("elsewhere", JoinPath(folder_, "exec").c_str()), 0);
  EXPECT_FALSE(WriteExecLabels(attr_.get(), {{"selinuxLabel", "a:b:c:s0"}}).ok());
  EXPECT_EQ(Content("elsewhere"), "");
}

TEST_F(ExecLabelTest, TheRealProcIsFound) {
  const UniqueFd proc = *OpenHostProc();
  EXPECT_TRUE(SetExecLabels(proc.get(), Json::object()).ok());
  if (PathExists("/sys/kernel/security/apparmor")) return;
  EXPECT_FALSE(SetExecLabels(proc.get(), {{"apparmorProfile", "no-such-profile"}}).ok());
}

}  // namespace
}  // namespace crisp
