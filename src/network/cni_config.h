// CNI network configurations, as administrators and plugins' installers write them: parsing,
// checking, and the folder that holds them. Everything here is bounded, and one bad file never
// hides a good one. Any thread.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp {

// The CNI specification's versions that are spoken, oldest first.
inline constexpr std::string_view kCniVersions[] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

// True if version is a spoken one and not older than other.
bool CniVersionAtLeast(std::string_view version, std::string_view other);

struct CniPlugin {
  std::string type;                    // the program's name in the bin folders
  Json config;                         // the object as written, without name and cniVersion
  std::set<std::string> capabilities;  // those declared true
};

struct CniConfig {
  std::string name;
  std::string version;
  bool disable_check = false;
  bool disable_gc = false;
  bool load_only_inlined = false;
  std::vector<CniPlugin> plugins;
  std::string
      text;  // the configuration list as JSON, complete in itself: what the results cache keeps
};

// A list ("plugins") or a lone plugin's configuration, which becomes a list of one. `source` names
// it in errors.
absl::StatusOr<CniConfig> ParseCniConfig(std::string_view text, std::string_view source);

struct CniProblem {
  std::string file;
  absl::Status reason;
};

struct CniFolder {
  std::vector<CniConfig> valid;  // by file name; the first is the one to use
  std::vector<CniProblem> problems;
  bool any_file = false;  // a configuration of any kind, be it broken
};

// Reads the .conf, .conflist and .json files of a folder (absent = empty). A list of version 1.1.0
// or newer without loadOnlyInlinedPlugins takes the plugins of <folder>/<name>/*.conf in addition.
CniFolder LoadCniFolder(const std::string& folder);

// True for what CNI allows as a network's name or a container's id: safe as part of a file name.
bool IsCniName(std::string_view text);

}  // namespace crisp
