// Input: USER, newline, passwd, a line "--", group. Whatever the image says, a user that is found
// has its primary group among its groups, which are sorted.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "oci/user_lookup.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t first = std::min(text.find('\n'), text.size());
  const size_t middle = std::min(text.find("\n--\n", first), text.size());
  crisp::UserRequest request;
  request.image_user = std::string(text.substr(0, first));
  request.extra_groups = {7};
  const auto user =
      crisp::LookUpUser(request, text.substr(first, middle - first), text.substr(middle));
  if (!user.ok()) return 0;
  const bool has_primary =
      std::find(user->groups.begin(), user->groups.end(), user->gid) != user->groups.end();
  if (!has_primary || !std::is_sorted(user->groups.begin(), user->groups.end())) std::abort();
  if (user->uid == UINT32_MAX || user->gid == UINT32_MAX || user->home.empty()) std::abort();
  return 0;
}
