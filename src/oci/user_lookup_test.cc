#include "oci/user_lookup.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kPasswd[] =
    "root:x:0:0:root:/root:/bin/sh\n"
    "# comment:x:1:1::/:\n"
    "+nis\n"
    "broken\n"
    "huge:x:99999999999:5::/huge:\n"
    "minus:x:-1:5::/minus:\n"
    "none:x:4294967295:5::/none:\n"
    "www:x:33:34:web:/var/www:/sbin/nologin\n"
    "www:x:77:77:second:/second:\n"
    "nohome:x:40:41\n"
    "last:x:4294967294:50::/last:/bin/sh";

constexpr char kGroup[] =
    "root:x:0:\n"
    "www:x:34:\n"
    "disk:x:6:root,www\n"
    "audio:x:29:www,\n"
    "bad:x:oops:www\n"
    "huge:x:4294967295:www\n"
    "staff:x:50:nobody";

User Found(const UserRequest& request) {
  const auto user = LookUpUser(request, kPasswd, kGroup);
  EXPECT_TRUE(user.ok()) << user.status();
  return user.value_or(User());
}

std::string Refused(const UserRequest& request) {
  const auto user = LookUpUser(request, kPasswd, kGroup);
  EXPECT_EQ(user.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(user.status().message());
}

TEST(UserLookup, NothingAskedIsRoot) {
  const User user = Found({});
  EXPECT_EQ(user.uid, 0u);
  EXPECT_EQ(user.gid, 0u);
  EXPECT_EQ(user.home, "/root");
  EXPECT_THAT(user.groups, ElementsAre(0, 6));
}

TEST(UserLookup, ImageUser) {
  const User named = Found({.image_user = "www"});
  EXPECT_EQ(named.uid, 33u);
  EXPECT_EQ(named.gid, 34u);
  EXPECT_EQ(named.home, "/var/www");
  EXPECT_THAT(named.groups, ElementsAre(6, 29, 34));
  EXPECT_EQ(Found({.image_user = "33"}).gid, 34u);
  const User unknown = Found({.image_user = "1234"});
  EXPECT_EQ(unknown.uid, 1234u);
  EXPECT_EQ(unknown.gid, 0u);
  EXPECT_EQ(unknown.home, "/");
  EXPECT_THAT(unknown.groups, ElementsAre(0));
  EXPECT_EQ(Found({.image_user = "www:staff"}).gid, 50u);
  EXPECT_EQ(Found({.image_user = "www:999"}).gid, 999u);
  EXPECT_EQ(Found({.image_user = "7:0"}).uid, 7u);
  EXPECT_EQ(Found({.image_user = "www:"}).gid, 34u);
  EXPECT_EQ(Found({.image_user = ":50"}).gid, 50u);
  EXPECT_EQ(Found({.image_user = "last"}).uid, 4294967294u);
  EXPECT_EQ(Found({.image_user = "nohome"}).home, "/");
}

TEST(UserLookup, CriWinsOverImage) {
  EXPECT_EQ(Found({.uid = 1000, .image_user = "www"}).uid, 1000u);
  EXPECT_EQ(Found({.username = "www", .uid = 1000}).uid, 33u);
  EXPECT_EQ(Found({.username = "www", .gid = 7}).gid, 7u);
  EXPECT_EQ(Found({.uid = 33, .gid = 7}).groups.front(), 6u);
  EXPECT_EQ(Found({.uid = 1000, .image_user = "no such user"}).uid, 1000u);
}

TEST(UserLookup, SupplementalGroups) {
  EXPECT_THAT(Found({.uid = 33, .extra_groups = {1234, 6, 5}}).groups,
              ElementsAre(5, 6, 29, 34, 1234));
  EXPECT_THAT(Found({.uid = 33, .extra_groups = {1234}, .strict = true}).groups,
              ElementsAre(34, 1234));
}

TEST(UserLookup, RefusesWithTheReason) {
  EXPECT_THAT(Refused({.gid = 5}), HasSubstr("run_as_group"));
  EXPECT_THAT(Refused({.gid = 5, .image_user = "www"}), HasSubstr("run_as_group"));
  EXPECT_THAT(Refused({.username = "ghost"}), HasSubstr("\"ghost\""));
  EXPECT_THAT(Refused({.image_user = "www:ghosts"}), HasSubstr("\"ghosts\""));
  EXPECT_THAT(Refused({.image_user = "99999999999999999999"}), HasSubstr("larger"));
  EXPECT_THAT(Refused({.image_user = "4294967295"}), HasSubstr("larger"));
  EXPECT_THAT(Refused({.image_user = "1:4294967295"}), HasSubstr("larger"));
  EXPECT_THAT(Refused({.image_user = "huge"}), HasSubstr("huge")) << "its line is passed over";
  EXPECT_THAT(Refused({.image_user = "www\nroot"}), HasSubstr("no user"));
  EXPECT_THAT(Refused({.uid = -1}), HasSubstr("run_as_user"));
  EXPECT_THAT(Refused({.uid = int64_t{1} << 32}), HasSubstr("run_as_user"));
  EXPECT_THAT(Refused({.uid = 1, .gid = -5}), HasSubstr("run_as_group"));
  EXPECT_THAT(Refused({.extra_groups = {-1}}), HasSubstr("supplemental_groups"));
}

TEST(UserLookup, EmptyFiles) {
  EXPECT_EQ(LookUpUser({}, "", "")->home, "/");
  EXPECT_EQ(LookUpUser({.image_user = "5"}, "", "")->uid, 5u);
  EXPECT_FALSE(LookUpUser({.image_user = "root"}, "", "").ok());
}

TEST(UserLookup, ManyGroupsAreRefused) {
  std::string group;
  for (int i = 0; i < 70000; ++i)
    group += "g" + std::to_string(i) + ":x:" + std::to_string(i + 1) + ":root\n";
  EXPECT_EQ(LookUpUser({}, kPasswd, group).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace crisp
