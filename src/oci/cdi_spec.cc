#include "oci/cdi_spec.h"

#include <limits>

#include "base/status.h"
#include "oci/yaml.h"

namespace crisp {
namespace {

constexpr size_t kMaxCdiDevices = 4096;
constexpr size_t kMaxEdits = 1024;

absl::Status Bad(std::string_view field, std::string_view why) {
  return absl::InvalidArgumentError(Cat(field, " ", why));
}

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Letters, digits and what `others` allows, neither first nor last one of these.
bool IsName(std::string_view name, std::string_view others, bool digit_first) {
  if (name.empty() || name.size() > 255) return false;
  for (const char c : name) {
    if (!IsLetter(c) && !IsDigit(c) && others.find(c) == std::string_view::npos) return false;
  }
  const char first = name.front(), last = name.back();
  return (IsLetter(first) || (digit_first && IsDigit(first))) && (IsLetter(last) || IsDigit(last));
}

bool IsKind(std::string_view kind) {
  const size_t slash = kind.find('/');
  return slash != std::string_view::npos && IsName(kind.substr(0, slash), "_-.", false) &&
         IsName(kind.substr(slash + 1), "_-.", false);
}

bool IsPath(const std::string& path) {
  return !path.empty() && path[0] == '/' && path.size() < 4096 &&
         path.find('\0') == std::string::npos;
}

// The member as a list; empty if it is missing.
absl::StatusOr<Json> ListOf(const Json& object, std::string_view key) {
  const Json* member = JsonMember(object, key);
  if (member == nullptr || member->is_null()) return Json::array();
  if (!member->is_array()) return Bad(key, "is no list");
  if (member->size() > kMaxEdits) return Bad(key, "is too long");
  return *member;
}

absl::StatusOr<std::vector<std::string>> Strings(const Json& object, std::string_view key) {
  ASSIGN_OR_RETURN(const Json list, ListOf(object, key));
  std::vector<std::string> strings;
  for (const Json& item : list) {
    if (!item.is_string()) return Bad(key, "holds something that is no string");
    const std::string& text = item.get_ref<const std::string&>();
    if (text.find('\0') != std::string::npos) return Bad(key, "holds a NUL byte");
    strings.push_back(text);
  }
  return strings;
}

// -1 if it is missing.
absl::StatusOr<int64_t> Number(const Json& object, std::string_view key) {
  const Json* member = JsonMember(object, key);
  if (member == nullptr || member->is_null()) return -1;
  const int64_t number = JsonInt(object, key, -1);
  if (!member->is_number_integer() || number < 0 || number > std::numeric_limits<uint32_t>::max()) {
    return Bad(key, "is no number that it can be");
  }
  return number;
}

absl::StatusOr<CdiNode> ParseNode(const Json& json) {
  CdiNode node;
  node.path = JsonString(json, "path");
  node.host_path = JsonString(json, "hostPath", node.path);
  node.type = JsonString(json, "type");
  node.permissions = JsonString(json, "permissions", "rwm");
  if (!IsPath(node.path) || !IsPath(node.host_path)) {
    return Bad("deviceNodes.path", "is no absolute path");
  }
  if (!node.type.empty() && node.type != "c" && node.type != "b" && node.type != "u" &&
      node.type != "p") {
    return Bad("deviceNodes.type", "is none of c, b, u, p");
  }
  if (node.permissions.empty()) node.permissions = "rwm";
  if (node.permissions.find_first_not_of("rwm") != std::string::npos) {
    return Bad("deviceNodes.permissions", "holds something else than r, w, m");
  }
  ASSIGN_OR_RETURN(node.major, Number(json, "major"));
  ASSIGN_OR_RETURN(node.minor, Number(json, "minor"));
  ASSIGN_OR_RETURN(node.mode, Number(json, "fileMode"));
  ASSIGN_OR_RETURN(node.uid, Number(json, "uid"));
  ASSIGN_OR_RETURN(node.gid, Number(json, "gid"));
  return node;
}

absl::StatusOr<Json> ParseMount(const Json& json) {
  const std::string source = JsonString(json, "hostPath");
  const std::string target = JsonString(json, "containerPath");
  std::string type = JsonString(json, "type");
  if (!IsPath(target)) return Bad("mounts.containerPath", "is no absolute path");
  if (source.empty() || source.find('\0') != std::string::npos) {
    return Bad("mounts.hostPath", "is missing");
  }
  ASSIGN_OR_RETURN(std::vector<std::string> options, Strings(json, "options"));
  bool binds = type == "bind";
  for (const std::string& option : options) binds = binds || option == "bind" || option == "rbind";
  // As others read a mount without a type: a bind mount.
  if (type.empty() || type == "none") type = "bind";
  if (type == "bind" && !binds) options.insert(options.begin(), "bind");
  if (type == "bind" && source[0] != '/') return Bad("mounts.hostPath", "is no absolute path");
  return Json{{"destination", target}, {"type", type}, {"source", source}, {"options", options}};
}

absl::Status ParseHook(const Json& json, CdiEdits* edits) {
  const std::string name = JsonString(json, "hookName");
  const std::string path = JsonString(json, "path");
  if (name == "prestart" || name == "createRuntime" || name == "poststart" || name == "poststop") {
    return absl::UnimplementedError(
        Cat("hooks: crisp runs createContainer and startContainer hooks alone, not ", name));
  }
  if (name != "createContainer" && name != "startContainer") {
    return Bad("hooks.hookName", "is unknown");
  }
  if (!IsPath(path)) return Bad("hooks.path", "is no absolute path");
  Json hook = {{"path", path}};
  ASSIGN_OR_RETURN(hook["args"], Strings(json, "args"));
  ASSIGN_OR_RETURN(hook["env"], Strings(json, "env"));
  ASSIGN_OR_RETURN(const int64_t timeout, Number(json, "timeout"));
  if (timeout == 0) return Bad("hooks.timeout", "is 0");
  if (timeout > 0) hook["timeout"] = timeout;
  edits->hooks[name].push_back(std::move(hook));
  return absl::OkStatus();
}

absl::StatusOr<CdiEdits> ParseEdits(const Json& object) {
  CdiEdits edits;
  const Json* json = JsonMember(object, "containerEdits");
  if (json == nullptr || json->is_null()) return edits;
  if (!json->is_object()) return Bad("containerEdits", "is no object");
  if (const Json* net = JsonMember(*json, "netDevices"); net != nullptr && !net->empty()) {
    return absl::UnimplementedError("netDevices: crisp moves no network devices into containers");
  }
  ASSIGN_OR_RETURN(edits.env, Strings(*json, "env"));
  for (const std::string& variable : edits.env) {
    const size_t equals = variable.find('=');
    if (equals == 0 || equals == std::string::npos) return Bad("env", "holds no NAME=VALUE");
  }
  ASSIGN_OR_RETURN(const Json nodes, ListOf(*json, "deviceNodes"));
  for (const Json& node : nodes) {
    ASSIGN_OR_RETURN(CdiNode parsed, ParseNode(node));
    edits.nodes.push_back(std::move(parsed));
  }
  ASSIGN_OR_RETURN(const Json mounts, ListOf(*json, "mounts"));
  for (const Json& mount : mounts) {
    ASSIGN_OR_RETURN(Json parsed, ParseMount(mount));
    edits.mounts.push_back(std::move(parsed));
  }
  ASSIGN_OR_RETURN(const Json hooks, ListOf(*json, "hooks"));
  for (const Json& hook : hooks) RETURN_IF_ERROR(ParseHook(hook, &edits));
  ASSIGN_OR_RETURN(const Json gids, ListOf(*json, "additionalGids"));
  for (const Json& gid : gids) {
    ASSIGN_OR_RETURN(const int64_t number, Number(Json{{"additionalGids", gid}}, "additionalGids"));
    // The specification lets 0 mean nothing.
    if (number > 0) edits.gids.push_back(static_cast<uint32_t>(number));
  }
  return edits;
}

absl::StatusOr<CdiSpec> ParseDocument(const Json& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("it is no object");
  if (!JsonString(json, "cdiVersion").starts_with("0.") &&
      !JsonString(json, "cdiVersion").starts_with("1.")) {
    return Bad("cdiVersion", "is none that crisp knows (0.x, 1.x)");
  }
  CdiSpec spec;
  spec.kind = JsonString(json, "kind");
  if (!IsKind(spec.kind)) return Bad("kind", "is no vendor/class");
  ASSIGN_OR_RETURN(spec.edits, ParseEdits(json));
  const Json* devices = JsonMember(json, "devices");
  if (devices == nullptr || !devices->is_array()) return Bad("devices", "is missing");
  if (devices->size() > kMaxCdiDevices) return Bad("devices", "is too long");
  for (const Json& device : *devices) {
    const std::string name = JsonString(device, "name");
    if (!IsName(name, "_-.:", true)) return Bad("devices.name", "is no name");
    absl::StatusOr<CdiEdits> edits = ParseEdits(device);
    if (!edits.ok()) return Annotate(edits.status(), Cat("device ", name));
    if (!spec.devices.emplace(name, *std::move(edits)).second) {
      return Bad("devices", Cat("has two of the name ", name));
    }
  }
  return spec;
}

}  // namespace

void CdiEdits::Add(const CdiEdits& more) {
  env.insert(env.end(), more.env.begin(), more.env.end());
  nodes.insert(nodes.end(), more.nodes.begin(), more.nodes.end());
  mounts.insert(mounts.end(), more.mounts.begin(), more.mounts.end());
  gids.insert(gids.end(), more.gids.begin(), more.gids.end());
  for (const auto& [name, list] : more.hooks) {
    hooks[name].insert(hooks[name].end(), list.begin(), list.end());
  }
}

absl::StatusOr<CdiSpec> ParseCdiSpec(std::string_view text, const std::string& name) {
  absl::StatusOr<Json> json =
      name.ends_with(".json") ? ParseJson(text, name) : ParseYaml(text, name);
  RETURN_IF_ERROR(json.status());
  absl::StatusOr<CdiSpec> spec = ParseDocument(*json);
  if (!spec.ok()) return Annotate(spec.status(), name);
  return spec;
}

bool SplitCdiName(std::string_view qualified, std::string* kind, std::string* name) {
  const size_t equals = qualified.find('=');
  if (equals == std::string_view::npos) return false;
  *kind = std::string(qualified.substr(0, equals));
  *name = std::string(qualified.substr(equals + 1));
  return IsKind(*kind) && IsName(*name, "_-.:", true);
}

}  // namespace crisp
