#include "network/cni_config.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/file.h"
#include "base/status.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr size_t kMostConfigBytes = 1 << 20;
constexpr size_t kMostConfigFiles = 256;
constexpr size_t kMostPlugins = 64;
constexpr size_t kLongestName = 128;

int VersionRank(std::string_view version) {
  const auto found = std::find(std::begin(kCniVersions), std::end(kCniVersions), version);
  return found == std::end(kCniVersions) ? -1 : static_cast<int>(found - std::begin(kCniVersions));
}

absl::Status Invalid(std::string_view source, std::string_view why) {
  return absl::InvalidArgumentError(Cat("CNI configuration ", source, ": ", why));
}

// The newest version among cniVersion and cniVersions that is spoken here.
absl::StatusOr<std::string> ChooseVersion(const Json& object, std::string_view source) {
  std::string best = JsonString(object, "cniVersion");
  const std::string named = best;
  if (const Json* more = JsonMember(object, "cniVersions"); more != nullptr) {
    if (!more->is_array() || more->size() > 64) return Invalid(source, "cniVersions is no list");
    for (const Json& version : *more) {
      if (!version.is_string())
        return Invalid(source, "cniVersions holds something else than text");
      const std::string& text = version.get_ref<const std::string&>();
      if (VersionRank(text) > VersionRank(best)) best = text;
    }
  }
  if (VersionRank(best) >= 0) return best;
  if (named.empty()) return Invalid(source, "cniVersion is missing");
  return Invalid(source, Cat("cniVersion \"", std::string_view(named).substr(0, 32),
                             "\" is not supported; 0.3.0 to ",
                             kCniVersions[std::size(kCniVersions) - 1], " are"));
}

// The specification says boolean; the reference library also takes the text "true".
bool Truth(const Json& object, std::string_view key) {
  return JsonBool(object, key) || JsonString(object, key) == "true";
}

absl::StatusOr<CniPlugin> ParsePlugin(const Json& object, std::string_view source) {
  if (!object.is_object()) return Invalid(source, "a plugin's configuration is no object");
  CniPlugin plugin;
  plugin.type = JsonString(object, "type");
  if (plugin.type.empty()) return Invalid(source, "a plugin has no type");
  if (!IsCniName(plugin.type)) return Invalid(source, "a plugin's type is no plain file name");
  plugin.config = object;
  for (const char* key : {"name", "cniVersion", "runtimeConfig", "prevResult"})
    plugin.config.erase(key);
  if (const Json* capabilities = JsonMember(object, "capabilities"); capabilities != nullptr) {
    if (!capabilities->is_object())
      return Invalid(source, Cat("plugin ", plugin.type, ": capabilities is no object"));
    for (const auto& [name, on] : capabilities->items()) {
      if (on.is_boolean() && on.get<bool>()) plugin.capabilities.insert(name);
    }
  }
  return plugin;
}

void WriteText(CniConfig& config) {
  Json list = {{"name", config.name}, {"cniVersion", config.version}, {"plugins", Json::array()}};
  if (config.disable_check) list["disableCheck"] = true;
  if (config.disable_gc) list["disableGC"] = true;
  if (CniVersionAtLeast(config.version, "1.1.0")) list["loadOnlyInlinedPlugins"] = true;
  for (const CniPlugin& plugin : config.plugins) list["plugins"].push_back(plugin.config);
  config.text = JsonText(list);
}

bool HasExtension(std::string_view name, std::string_view extension) {
  return name.size() > extension.size() && name.substr(name.size() - extension.size()) == extension;
}

// Names of the regular files with one of the extensions, sorted; links are followed, as kubernetes
// mounts make them.
std::vector<std::string> FilesOf(const std::string& folder,
                                 std::initializer_list<std::string_view> extensions) {
  std::vector<std::string> names;
  DIR* open = opendir(folder.c_str());
  if (open == nullptr) return names;
  while (const dirent* entry = readdir(open)) {
    const std::string name = entry->d_name;
    struct stat facts;
    const bool fits =
        std::any_of(extensions.begin(), extensions.end(),
                    [&](std::string_view extension) { return HasExtension(name, extension); });
    if (!fits || name[0] == '.' || stat(JoinPath(folder, name).c_str(), &facts) != 0 ||
        !S_ISREG(facts.st_mode))
      continue;
    names.push_back(name);
  }
  closedir(open);
  std::sort(names.begin(), names.end());
  if (names.size() > kMostConfigFiles) names.resize(kMostConfigFiles);
  return names;
}

absl::Status AddSideLoaded(const std::string& folder, CniConfig& config) {
  for (const std::string& name : FilesOf(JoinPath(folder, config.name), {".conf"})) {
    const std::string path = Cat(JoinPath(folder, config.name), "/", name);
    ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMostConfigBytes));
    ASSIGN_OR_RETURN(const Json object, ParseJson(text, path));
    ASSIGN_OR_RETURN(CniPlugin plugin, ParsePlugin(object, path));
    if (config.plugins.size() == kMostPlugins)
      return Invalid(path, "the network has too many plugins");
    config.plugins.push_back(std::move(plugin));
  }
  WriteText(config);
  return absl::OkStatus();
}

absl::StatusOr<CniConfig> LoadFile(const std::string& folder, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMostConfigBytes));
  ASSIGN_OR_RETURN(CniConfig config, ParseCniConfig(text, path));
  if (CniVersionAtLeast(config.version, "1.1.0") && !config.load_only_inlined) {
    RETURN_IF_ERROR(AddSideLoaded(folder, config));
  }
  if (config.plugins.empty()) return Invalid(path, "the network has no plugins");
  return config;
}

}  // namespace

bool CniVersionAtLeast(std::string_view version, std::string_view other) {
  return VersionRank(version) >= 0 && VersionRank(version) >= VersionRank(other);
}

bool IsCniName(std::string_view text) {
  return !text.empty() && text.size() <= kLongestName &&
         isalnum(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return isalnum(c) || c == '_' || c == '.' || c == '-';
         });
}

absl::StatusOr<CniConfig> ParseCniConfig(std::string_view text, std::string_view source) {
  if (text.size() > kMostConfigBytes) return Invalid(source, "larger than 1 MiB");
  ASSIGN_OR_RETURN(const Json object, ParseJson(text, Cat("CNI configuration ", source)));
  if (!object.is_object()) return Invalid(source, "no JSON object");
  CniConfig config;
  config.name = JsonString(object, "name");
  if (!IsCniName(config.name)) {
    return Invalid(source,
                   config.name.empty()
                       ? "name is missing"
                       : "name is not made of letters, digits, dots, dashes and underscores");
  }
  ASSIGN_OR_RETURN(config.version, ChooseVersion(object, source));
  const Json* plugins = JsonMember(object, "plugins");
  if (plugins == nullptr) {
    ASSIGN_OR_RETURN(CniPlugin plugin, ParsePlugin(object, source));
    config.plugins.push_back(std::move(plugin));
    config.load_only_inlined = true;
    WriteText(config);
    return config;
  }
  if (!plugins->is_array() || plugins->size() > kMostPlugins) {
    return Invalid(source, Cat("plugins is no list of at most ", kMostPlugins));
  }
  config.disable_check = Truth(object, "disableCheck");
  config.disable_gc = Truth(object, "disableGC");
  config.load_only_inlined = Truth(object, "loadOnlyInlinedPlugins");
  const bool may_be_empty = CniVersionAtLeast(config.version, "1.1.0") && !config.load_only_inlined;
  if (plugins->empty() && !may_be_empty) return Invalid(source, "the list of plugins is empty");
  for (const Json& object_of_plugin : *plugins) {
    ASSIGN_OR_RETURN(CniPlugin plugin, ParsePlugin(object_of_plugin, source));
    config.plugins.push_back(std::move(plugin));
  }
  WriteText(config);
  return config;
}

CniFolder LoadCniFolder(const std::string& folder) {
  CniFolder result;
  for (const std::string& name : FilesOf(folder, {".conf", ".conflist", ".json"})) {
    result.any_file = true;
    const std::string path = JoinPath(folder, name);
    absl::StatusOr<CniConfig> config = LoadFile(folder, path);
    if (config.ok()) {
      result.valid.push_back(*std::move(config));
    } else {
      result.problems.push_back({path, config.status()});
    }
  }
  return result;
}

}  // namespace crisp
