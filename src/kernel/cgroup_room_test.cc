#include "kernel/cgroup_room.h"

#include <sched.h>

#include "kernel/cgroup_fixture.h"

namespace crisp {
namespace {

using CgroupRoomTest = CgroupTest;

INSTANTIATE_TEST_SUITE_P(Trees, CgroupRoomTest, ::testing::Values(true),
                         [](const auto&) { return "Unified"; });

// Runs in a child: its cgroup becomes the root of what it sees, with itself inside.
absl::Status MakeRoomAround(const std::string& folder) {
  if (unshare(CLONE_NEWCGROUP | CLONE_NEWNS) != 0) return absl::InternalError("unshare");
  if (mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return absl::InternalError("private");
  umount2(folder.c_str(), MNT_DETACH);  // the whole tree, which the fixture shows there
  if (mount("none", folder.c_str(), "cgroup2", 0, nullptr) != 0)
    return absl::InternalError(Cat("mount: ", strerror(errno)));
  const absl::StatusOr<CgroupTree> tree = CgroupTree::Detect(folder);
  if (!tree.ok()) return tree.status();
  const absl::StatusOr<bool> moved = MakeRoomInCgroupRoot(*tree);
  if (!moved.ok()) return moved.status();
  const auto own = ReadFile("/proc/self/cgroup");
  const bool in_init = own.ok() && own->find(Cat("0::/", kCgroupOfInit, "\n")) != std::string::npos;
  const bool needed = !tree->Unified()->controllers.empty();
  if (*moved != needed || in_init != needed)
    return absl::InternalError("moved although not needed");
  const auto enabled = ReadFile(JoinPath(folder, "cgroup.subtree_control"));
  for (const std::string& controller : tree->Unified()->controllers) {
    if (!enabled.ok() || enabled->find(controller) == std::string::npos) {
      return absl::InternalError(Cat(controller, " is not handed down"));
    }
  }
  const absl::StatusOr<bool> again = MakeRoomInCgroupRoot(*tree);
  if (!again.ok()) return again.status();
  return *again ? absl::InternalError("moved twice") : absl::OkStatus();
}

TEST_P(CgroupRoomTest, RoomIsMadeInTheRootThatANamespaceShows) {
  Cgroup cgroup(tree_, path_);
  ASSERT_TRUE(cgroup.Create().ok());
  const pid_t child = Spawn(cgroup, [&] {
    const absl::Status status = MakeRoomAround(mount_);
    if (!status.ok()) fprintf(stderr, "%s\n", status.ToString().c_str());
    return status.ok() ? 0 : 1;
  });
  EXPECT_EQ(Wait(child), 0);
}

TEST_P(CgroupRoomTest, NothingIsMovedInTheRootThatNeedsNoRoom) {
  const auto before = ReadFile("/proc/self/cgroup");
  const absl::StatusOr<bool> moved = MakeRoomInCgroupRoot(tree_);
  // The tests start in a cgroup below the root, which therefore has no process.
  EXPECT_TRUE(moved.ok()) << moved.status();
  EXPECT_EQ(*before, *ReadFile("/proc/self/cgroup"));
}

}  // namespace
}  // namespace crisp
