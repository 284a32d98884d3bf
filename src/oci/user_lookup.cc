#include "oci/user_lookup.h"

#include <algorithm>
#include <charconv>

#include "base/status.h"

namespace crisp {
namespace {

// (uid_t) -1 means "no change" to the kernel.
constexpr int64_t kMaxId = 4294967294;

std::optional<uint32_t> ParseId(std::string_view text) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || id > kMaxId) {
    return std::nullopt;
  }
  return id;
}

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

struct PasswdEntry {
  std::string_view name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string_view home;
};

// Calls visit(entry) for each sound line of passwd until it returns true. Comments, NIS lines and
// lines with impossible numbers are passed over.
template <typename Visit>
void ForEachUser(std::string_view passwd, const Visit& visit) {
  while (!passwd.empty()) {
    const std::string_view line = passwd.substr(0, passwd.find('\n'));
    passwd.remove_prefix(std::min(passwd.size(), line.size() + 1));
    const std::vector<std::string_view> fields = Split(line, ':');
    if (fields.size() < 4 || fields[0].empty() || fields[0].find_first_of("#+-") == 0) continue;
    const std::optional<uint32_t> uid = ParseId(fields[2]);
    const std::optional<uint32_t> gid = ParseId(fields[3]);
    if (!uid || !gid) continue;
    if (visit(PasswdEntry{fields[0], *uid, *gid, fields.size() > 5 ? fields[5] : ""})) return;
  }
}

std::optional<PasswdEntry> UserByName(std::string_view passwd, std::string_view name) {
  std::optional<PasswdEntry> found;
  ForEachUser(passwd, [&](const PasswdEntry& entry) {
    if (entry.name == name) found = entry;
    return found.has_value();
  });
  return found;
}

std::optional<PasswdEntry> UserById(std::string_view passwd, uint32_t uid) {
  std::optional<PasswdEntry> found;
  ForEachUser(passwd, [&](const PasswdEntry& entry) {
    if (entry.uid == uid) found = entry;
    return found.has_value();
  });
  return found;
}

struct GroupEntry {
  std::string_view name;
  uint32_t gid = 0;
  std::string_view members;  // separated by commas
};

template <typename Visit>
void ForEachGroup(std::string_view group, const Visit& visit) {
  while (!group.empty()) {
    const std::string_view line = group.substr(0, group.find('\n'));
    group.remove_prefix(std::min(group.size(), line.size() + 1));
    const std::vector<std::string_view> fields = Split(line, ':');
    if (fields.size() < 3 || fields[0].empty() || fields[0].find_first_of("#+-") == 0) continue;
    const std::optional<uint32_t> gid = ParseId(fields[2]);
    if (!gid) continue;
    if (visit(GroupEntry{fields[0], *gid, fields.size() > 3 ? fields[3] : ""})) return;
  }
}

std::optional<uint32_t> GroupByName(std::string_view group, std::string_view name) {
  std::optional<uint32_t> found;
  ForEachGroup(group, [&](const GroupEntry& entry) {
    if (entry.name == name) found = entry.gid;
    return found.has_value();
  });
  return found;
}

absl::StatusOr<uint32_t> CheckedId(int64_t id, std::string_view field) {
  if (id < 0 || id > kMaxId) {
    return absl::InvalidArgumentError(
        Cat("linux.security_context.", field, ": ", id, " is no id (0 to ", kMaxId, ")"));
  }
  return static_cast<uint32_t>(id);
}

// "name" or "uid", whatever asked for it.
absl::StatusOr<PasswdEntry> ResolveUser(std::string_view text, std::string_view passwd,
                                        std::string_view source) {
  if (text.empty()) text = "0";
  if (IsNumber(text)) {
    const std::optional<uint32_t> uid = ParseId(text);
    if (!uid) {
      return absl::InvalidArgumentError(
          Cat(source, ": user id ", text.substr(0, 64), " is larger than ", kMaxId));
    }
    return UserById(passwd, *uid).value_or(PasswdEntry{"", *uid, 0, ""});
  }
  if (const std::optional<PasswdEntry> entry = UserByName(passwd, text)) return *entry;
  return absl::InvalidArgumentError(
      Cat(source, ": the image's /etc/passwd has no user \"", text.substr(0, 256), "\""));
}

absl::StatusOr<uint32_t> ResolveGroup(std::string_view text, std::string_view group,
                                      std::string_view source) {
  if (IsNumber(text)) {
    if (const std::optional<uint32_t> gid = ParseId(text)) return *gid;
    return absl::InvalidArgumentError(
        Cat(source, ": group id ", text.substr(0, 64), " is larger than ", kMaxId));
  }
  if (const std::optional<uint32_t> gid = GroupByName(group, text)) return *gid;
  return absl::InvalidArgumentError(
      Cat(source, ": the image's /etc/group has no group \"", text.substr(0, 256), "\""));
}

}  // namespace

absl::StatusOr<User> LookUpUser(const UserRequest& request, std::string_view passwd,
                                std::string_view group) {
  const bool named = !request.username.empty();
  if (request.gid && !named && !request.uid) {
    return absl::InvalidArgumentError(
        "linux.security_context.run_as_group needs run_as_user or run_as_username beside it");
  }
  std::string source = "the image's USER";
  std::string wanted = request.image_user;
  if (named) {
    source = "linux.security_context.run_as_username";
    wanted = request.username;
  } else if (request.uid) {
    source = "linux.security_context.run_as_user";
    ASSIGN_OR_RETURN(const uint32_t uid, CheckedId(*request.uid, "run_as_user"));
    wanted = Cat(uid);
  }
  const std::string_view text = wanted;
  const size_t colon = text.find(':');
  ASSIGN_OR_RETURN(const PasswdEntry entry, ResolveUser(text.substr(0, colon), passwd, source));
  User user;
  user.uid = entry.uid;
  user.gid = entry.gid;
  if (colon != std::string_view::npos && colon + 1 < text.size()) {
    ASSIGN_OR_RETURN(user.gid, ResolveGroup(text.substr(colon + 1), group, source));
  }
  if (request.gid) {
    ASSIGN_OR_RETURN(user.gid, CheckedId(*request.gid, "run_as_group"));
  }
  if (!entry.home.empty()) user.home = std::string(entry.home);
  user.groups = {user.gid};  // CVE-2023-25173: the primary group is always among them
  for (const int64_t extra : request.extra_groups) {
    ASSIGN_OR_RETURN(const uint32_t gid, CheckedId(extra, "supplemental_groups"));
    user.groups.push_back(gid);
  }
  if (!request.strict && !entry.name.empty()) {
    ForEachGroup(group, [&](const GroupEntry& candidate) {
      for (const std::string_view member : SplitWords(candidate.members, ',')) {
        if (member == entry.name) user.groups.push_back(candidate.gid);
      }
      return false;
    });
  }
  std::sort(user.groups.begin(), user.groups.end());
  user.groups.erase(std::unique(user.groups.begin(), user.groups.end()), user.groups.end());
  // More than the kernel's NGROUPS_MAX would fail at the start only.
  if (user.groups.size() > 65536) {
    return absl::InvalidArgumentError(
        Cat(source, ": the user is in ", user.groups.size(), " groups; Linux allows 65536"));
  }
  return user;
}

}  // namespace crisp
