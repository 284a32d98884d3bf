#include "daemon/config.h"

#include <dirent.h>
#include <sys/un.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr std::string_view kUnix = "unix://";

absl::Status Bad(const auto&... parts) { return absl::InvalidArgumentError(Cat(parts...)); }

absl::Status ApplyFile(const std::string& path, Config& config) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, 1 << 20));
  return ApplyToml(text, path, config);
}

// The *.toml files of a folder by name; none if the folder is absent.
absl::StatusOr<std::vector<std::string>> DropIns(const std::string& folder) {
  std::vector<std::string> files;
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) {
    if (errno == ENOENT) return files;
    return ErrnoStatus("read folder ", folder);
  }
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (name.starts_with(".") || !name.ends_with(".toml")) continue;
    files.push_back(JoinPath(folder, name));
  }
  ::closedir(dir);
  std::sort(files.begin(), files.end());
  return files;
}

absl::Status ApplyFlags(const ConfigFlags& flags, Config& config) {
  for (const auto& [name, value] : flags) {
    const auto keys = ConfigKeys();
    const auto key = std::ranges::find(keys, name, &Key<Config>::name);
    if (key == keys.end()) return Bad("flag for an unknown key \"", name, "\"");
    const auto* text = std::get_if<std::string Config::*>(&key->field);
    if (text == nullptr) return Bad("key \"", name, "\" is no string and has no flag");
    config.*(*text) = value;
  }
  return absl::OkStatus();
}

absl::Status CheckAbsolute(std::string_view key, const std::string& path) {
  if (path.starts_with("/")) return absl::OkStatus();
  return Bad("key \"", key, "\" must be an absolute path, not \"", path, "\"");
}

absl::Status CheckListen(const Config& config) {
  if (!std::string_view(config.listen).starts_with("unix:///")) {
    return Bad("key \"listen\" must have the form unix:///PATH, not \"", config.listen, "\"");
  }
  // The server binds at /.NAME/s first, three bytes longer.
  const size_t limit = sizeof(sockaddr_un::sun_path) - 1 - 3;
  if (config.SocketPath().size() > limit) {
    return Bad("key \"listen\": the path ", config.SocketPath(), " is longer than the ", limit,
               " bytes that a socket's path may have");
  }
  return absl::OkStatus();
}

absl::Status CheckRegistry(const RegistryConfig& registry) {
  const std::string where = Cat("[[registry]] of host \"", registry.host, "\": ");
  if (registry.host.empty()) return Bad("a [[registry]] needs a host");
  if (registry.host.find('/') != std::string::npos) {
    return Bad(where, "host is a name with an optional port, without http:// and without a path");
  }
  for (const std::string& mirror : registry.mirrors) {
    const std::string_view url = mirror;
    const size_t scheme = url.starts_with("https://") ? 8 : url.starts_with("http://") ? 7 : 0;
    if (scheme == 0 || url.size() == scheme) {
      return Bad(where, "mirror \"", mirror, "\" is no http:// or https:// URL");
    }
  }
  if (registry.client_cert.empty() != registry.client_key.empty()) {
    return Bad(where, "client_cert and client_key go together; one is missing");
  }
  for (const std::string* file : {&registry.ca_file, &registry.client_cert, &registry.client_key}) {
    if (file->empty()) continue;
    if (absl::Status status = CheckAbsolute("registry", *file); !status.ok()) {
      return Bad(where, *file, " must be an absolute path");
    }
    if (!PathExists(*file)) return Bad(where, "file ", *file, " does not exist");
  }
  return absl::OkStatus();
}

absl::Status CheckRuntime(const RuntimeConfig& runtime) {
  const std::string where = Cat("[[runtime]] named \"", runtime.name, "\": ");
  if (runtime.name.empty()) return Bad("a [[runtime]] needs a name");
  if (runtime.kind == "native") {
    if (runtime.path.empty() && runtime.args.empty()) return absl::OkStatus();
    return Bad(where, "kind native takes neither path nor args, for it runs no other program");
  }
  if (runtime.kind != "oci" && runtime.kind != "runsc") {
    return Bad(where, "kind must be oci, runsc or native, not \"", runtime.kind, "\"");
  }
  if (!runtime.path.starts_with("/")) {
    return Bad(where, "path must be the absolute path of an OCI runtime's program, not \"",
               runtime.path, "\"");
  }
  // What crisp itself sets, or does.
  for (const std::string_view taken :
       {"root", "log", "log-format", "systemd-cgroup", "cgroup-manager"}) {
    if (!runtime.HasFlag(taken)) continue;
    return Bad(where, "args must not hold --", taken, ", which is crisp's to set");
  }
  return absl::OkStatus();
}

absl::Status CheckDefaultRuntime(const Config& config) {
  const std::string& name = config.default_runtime;
  if (name == "native" || name == "crisp") return absl::OkStatus();
  for (const RuntimeConfig& runtime : config.runtimes) {
    if (runtime.name == name) return absl::OkStatus();
  }
  return Bad("key \"default_runtime\" is \"", name, "\", but there is no [[runtime]] of that name");
}

}  // namespace

bool RuntimeConfig::HasFlag(std::string_view name) const {
  return std::ranges::any_of(args, [&](std::string_view arg) {
    // Programs in Go take one dash, too.
    const size_t dashes = std::min(arg.find_first_not_of('-'), arg.size());
    return dashes > 0 && dashes < 3 && arg.substr(dashes, arg.find('=') - dashes) == name;
  });
}

std::string Config::SocketPath() const {
  return listen.starts_with(kUnix) ? listen.substr(kUnix.size()) : listen;
}

absl::Status CheckConfig(const Config& config) {
  RETURN_IF_ERROR(CheckAbsolute("root", config.root));
  RETURN_IF_ERROR(CheckAbsolute("state", config.state));
  RETURN_IF_ERROR(CheckAbsolute("network.netns_dir", config.network_netns_dir));
  RETURN_IF_ERROR(CheckAbsolute("cni.conf_dir", config.cni_conf_dir));
  for (const std::string& dir : config.cni_bin_dirs)
    RETURN_IF_ERROR(CheckAbsolute("cni.bin_dirs", dir));
  for (const std::string& dir : config.container_cdi_dirs)
    RETURN_IF_ERROR(CheckAbsolute("container.cdi_dirs", dir));
  if (!config.cni_cache_dir.empty())
    RETURN_IF_ERROR(CheckAbsolute("cni.cache_dir", config.cni_cache_dir));
  if (!config.monitor.empty()) RETURN_IF_ERROR(CheckAbsolute("monitor", config.monitor));
  RETURN_IF_ERROR(CheckListen(config));
  static const std::set<std::string_view> kLevels = {"trace", "debug", "info",
                                                     "warn",  "error", "off"};
  if (!kLevels.contains(config.log_level)) {
    return Bad("key \"log_level\" must be trace, debug, info, warn, error or off, not \"",
               config.log_level, "\"");
  }
  static const std::set<std::string_view> kDrivers = {"auto", "cgroupfs", "systemd"};
  if (!kDrivers.contains(config.cgroup_driver)) {
    return Bad("key \"cgroup_driver\" must be auto, cgroupfs or systemd, not \"",
               config.cgroup_driver, "\"");
  }
  static const std::set<std::string_view> kModes = {"auto", "bridge", "cni"};
  if (!kModes.contains(config.network_mode)) {
    return Bad("key \"network.mode\" must be auto, bridge or cni, not \"", config.network_mode,
               "\"");
  }
  for (const RegistryConfig& registry : config.registries) RETURN_IF_ERROR(CheckRegistry(registry));
  for (const RuntimeConfig& runtime : config.runtimes) RETURN_IF_ERROR(CheckRuntime(runtime));
  return CheckDefaultRuntime(config);
}

absl::StatusOr<Config> LoadConfig(const std::string& file, const ConfigFlags& flags) {
  Config config;
  if (!file.empty()) {
    RETURN_IF_ERROR(ApplyFile(file, config));
    ASSIGN_OR_RETURN(std::vector<std::string> drop_ins, DropIns(file + ".d"));
    for (const std::string& drop_in : drop_ins) RETURN_IF_ERROR(ApplyFile(drop_in, config));
  }
  RETURN_IF_ERROR(ApplyFlags(flags, config));
  RETURN_IF_ERROR(CheckConfig(config));
  return config;
}

}  // namespace crisp
