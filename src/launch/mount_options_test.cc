#include "launch/mount_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crisp {
namespace {

using testing::ElementsAre;

TEST(MountOptionsTest, SortsThemByWhoTheyAreFor) {
  const absl::StatusOr<MountOptions> options = ParseMountOptions(
      {"rbind", "ro", "nosuid", "rslave", "mode=755", "size=64k", "tmpcopyup", "defaults"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(options->bind);
  EXPECT_EQ(options->bind_depth, TreeDepth::kRecursive);
  EXPECT_EQ(options->one.set, static_cast<uint64_t>(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID));
  EXPECT_EQ(options->propagation, static_cast<uint64_t>(MS_SLAVE));
  EXPECT_TRUE(options->propagation_recursive);
  EXPECT_TRUE(options->copy_up);
  EXPECT_THAT(options->filesystem, ElementsAre("mode=755", "size=64k"));
}

TEST(MountOptionsTest, TheLastWordHolds) {
  const absl::StatusOr<MountOptions> options =
      ParseMountOptions({"ro", "rw", "noexec", "exec", "noatime", "relatime", "private", "shared"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->one.set, 0u);
  EXPECT_EQ(options->one.clear,
            static_cast<uint64_t>(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC | MOUNT_ATTR__ATIME));
  EXPECT_EQ(options->propagation, static_cast<uint64_t>(MS_SHARED));
  EXPECT_FALSE(options->propagation_recursive);
  EXPECT_FALSE(options->read_only);
}

TEST(MountOptionsTest, LetterRMeansAllBelow) {
  const absl::StatusOr<MountOptions> options = ParseMountOptions({"rro", "rnoatime", "rsuid"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(options->one.empty());
  EXPECT_EQ(options->recursive.set, static_cast<uint64_t>(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME));
  EXPECT_EQ(options->recursive.clear, static_cast<uint64_t>(MOUNT_ATTR__ATIME | MOUNT_ATTR_NOSUID));
  EXPECT_TRUE(options->read_only);
}

TEST(MountOptionsTest, IdmapIsRefused) {
  EXPECT_TRUE(ParseMountOptions({"ridmap"})->map_recursively);
  EXPECT_FALSE(ParseMountOptions({"idmap"})->map_recursively);
}

TEST(MountOptionsTest, ForOneMountAlone) {
  for (const auto& [option, one] :
       {std::pair("rro", "ro"), std::pair("rnosuid", "nosuid"), std::pair("rrw", "rw"),
        std::pair("rw", "rw"), std::pair("relatime", "relatime"), std::pair("rbind", "rbind"),
        std::pair("rprivate", "rprivate"), std::pair("mode=755", "mode=755")}) {
    EXPECT_EQ(ForOneMount(option), one);
  }
}

}  // namespace
}  // namespace crisp
