// What the tests of cgroups share: a tree, a path of their own in it, children inside it, and that
// all is gone afterwards. One thread.
#pragma once

#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/text.h"
#include "gtest/gtest.h"
#include "kernel/cgroup.h"

namespace crisp {

// Every test runs on what the host has and on a version 2 tree of its own (which has the
// controllers that version 1 left over).
class CgroupTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      char folder[] = "/tmp/crisp-cgroup2-XXXXXX";
      ASSERT_NE(mkdtemp(folder), nullptr);
      mount_ = folder;
      ASSERT_EQ(mount("none", folder, "cgroup2", 0, nullptr), 0) << strerror(errno);
    }
    absl::StatusOr<CgroupTree> tree =
        GetParam() ? CgroupTree::Detect(mount_) : CgroupTree::Detect();
    ASSERT_TRUE(tree.ok()) << tree.status();
    tree_ = *std::move(tree);
    parent_ = Cat("/crisp-test-", getpid());
    path_ = Cat(parent_, "/pod/container");
  }
  void TearDown() override {
    if (tree_.hierarchies().empty()) return;
    const Cgroup all(tree_, parent_);
    EXPECT_TRUE(all.Kill(SIGKILL).ok());
    for (const pid_t child : children_) waitpid(child, nullptr, 0);
    EXPECT_TRUE(all.Remove(absl::Seconds(5)).ok());
    EXPECT_FALSE(all.Exists());
    if (!mount_.empty()) {
      umount2(mount_.c_str(), MNT_DETACH);
      rmdir(mount_.c_str());
    }
  }

  // A child that runs `body` inside the cgroup and exits with what it returns. Returns once it has
  // joined.
  pid_t Spawn(const Cgroup& cgroup, const std::function<int()>& body) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      const absl::Status joined = cgroup.JoinSelf();
      if (!joined.ok()) {
        fprintf(stderr, "%s\n", std::string(joined.message()).c_str());
        _exit(99);
      }
      close(ready[0]);
      close(ready[1]);
      _exit(body());
    }
    close(ready[1]);
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 0);
    close(ready[0]);
    children_.push_back(child);
    return child;
  }
  static int Sleep() {
    while (true) pause();
  }
  // The wait status of a child of Spawn.
  int Wait(pid_t child) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    std::erase(children_, child);
    return status;
  }
  bool Has(std::string_view controller) const {
    return tree_.WithController(controller) != nullptr;
  }
  std::string Read(std::string_view controller, std::string_view file) {
    const std::string path = Cat(tree_.WithController(controller)->folder, path_, "/", file);
    const absl::StatusOr<std::string> text = ReadFile(path);
    EXPECT_TRUE(text.ok()) << text.status();
    return text.ok() ? std::string(Trim(*text)) : "";
  }
  bool IsV2(std::string_view controller) const { return tree_.WithController(controller)->v2; }

  std::string mount_;
  CgroupTree tree_;
  std::string parent_;
  std::string path_;
  std::vector<pid_t> children_;
};

}  // namespace crisp
