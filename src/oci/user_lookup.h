// Who a container's process is: CRI's user fields and the image's USER, resolved in the image's own
// (hostile) passwd and group texts. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crisp {

struct UserRequest {
  std::string username;               // run_as_username; wins over uid
  std::optional<int64_t> uid;         // run_as_user
  std::optional<int64_t> gid;         // run_as_group
  std::vector<int64_t> extra_groups;  // supplemental_groups
  bool strict = false;                // SupplementalGroupsPolicy Strict: not those of /etc/group
  std::string image_user;             // "", "name", "uid", "name:group", "uid:gid"
};

struct User {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;  // sorted, with gid, without repetition
  std::string home = "/";
};

// InvalidArgument: an id out of range, a group without a user, a name that the image does not know.
// An unknown uid has gid 0 and home "/".
absl::StatusOr<User> LookUpUser(const UserRequest& request, std::string_view passwd,
                                std::string_view group);

}  // namespace crisp
