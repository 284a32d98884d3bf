// Config: everything that a user can set about crispd, read from a TOML file, a folder of drop-ins
// and the command line. ConfigKeys() is the one table of keys; the annotated default file
// (packaging/crisp.toml) is made from it and a test holds the two together. Plain data; filled once
// at start, then read by any thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace crisp {

// One [[registry]] table: how images named after this host are fetched.
struct RegistryConfig {
  std::string host;
  std::vector<std::string> mirrors;
  std::string ca_file;
  std::string client_cert;
  std::string client_key;
  bool insecure = false;
  bool plain_http = false;

  bool operator==(const RegistryConfig&) const = default;
};

// One [[runtime]] table: a runtime handler.
struct RuntimeConfig {
  std::string name;
  std::string kind = "oci";
  std::string path;
  std::vector<std::string> args;

  // Whether args hold --name or --name=VALUE.
  bool HasFlag(std::string_view name) const;
  bool operator==(const RuntimeConfig&) const = default;
};

struct Config {
  std::string root = "/var/lib/crisp";
  std::string state = "/run/crisp";
  std::string listen = "unix:///run/crisp/crispd.sock";
  std::string log_level = "info";
  std::string monitor;
  std::string cgroup_driver = "auto";
  std::string default_runtime = "native";

  int64_t server_threads = 512;
  int64_t server_message_mib = 16;

  std::vector<std::string> container_cdi_dirs = {"/etc/cdi", "/var/run/cdi"};
  int64_t container_log_line_max = 16384;
  int64_t container_shm_mib = 64;

  std::string checkpoint_criu = "criu";
  bool checkpoint_restore_images = false;

  int64_t image_parallel_layers = 3;
  int64_t image_max_layer_mib = 32 << 10;
  int64_t image_max_layer_entries = 4 << 20;
  int64_t image_max_layers = 500;
  int64_t image_connect_seconds = 30;
  int64_t image_silence_seconds = 300;
  int64_t image_attempts = 5;
  std::vector<std::string> image_pinned;

  std::string network_mode = "auto";
  std::string network_bridge;
  std::vector<std::string> network_subnets;
  bool network_masquerade = true;
  int64_t network_mtu = 0;
  std::string network_netns_dir = "/run/netns";

  std::string cni_conf_dir = "/etc/cni/net.d";
  std::vector<std::string> cni_bin_dirs = {"/opt/cni/bin", "/usr/lib/cni"};
  std::string cni_cache_dir;

  std::string streaming_address = "127.0.0.1";
  int64_t streaming_port = 0;
  std::string streaming_tls_cert;
  std::string streaming_tls_key;
  int64_t streaming_idle_seconds = 4 * 3600;
  int64_t streaming_creation_seconds = 30;
  int64_t streaming_max_connections = 1024;

  std::vector<RegistryConfig> registries;
  std::vector<RuntimeConfig> runtimes;

  bool operator==(const Config&) const = default;

  // The path of the listening socket: `listen` without unix://.
  std::string SocketPath() const;
};

// A key of Object: its dotted name in the file, where its value lives, and what the annotated file
// says about it. Integers are refused outside [min, max].
template <typename Object>
struct Key {
  using Field = std::variant<std::string Object::*, int64_t Object::*, bool Object::*,
                             std::vector<std::string> Object::*>;
  std::string_view name;
  Field field;
  std::string_view doc;
  int64_t min = 0;
  int64_t max = INT64_MAX;
};

std::span<const Key<Config>> ConfigKeys();
std::span<const Key<RegistryConfig>> RegistryKeys();
std::span<const Key<RuntimeConfig>> RuntimeKeys();

// Values by the name of their key, as the command line gave them; they win over every file.
using ConfigFlags = std::map<std::string, std::string, std::less<>>;

// Reads `file` (if not empty), then file.d/*.toml in the order of their names, then the flags, and
// checks the whole. A list in a later file replaces the earlier one; a [[registry]] or [[runtime]]
// replaces the earlier one of its name. Errors are InvalidArgument (or NotFound for the file) and
// begin with "file:line:"; an unknown key is one, and the nearest known key is named.
absl::StatusOr<Config> LoadConfig(const std::string& file, const ConfigFlags& flags);

// One file's text on top of config; name is for the errors.
absl::Status ApplyToml(std::string_view text, const std::string& name, Config& config);

// What can only be judged over the whole: absolute paths, the form of `listen`, known log level,
// registries that make sense.
absl::Status CheckConfig(const Config& config);

// The annotated default file: every key, commented out, with its default and what it does.
std::string AnnotatedConfig();

}  // namespace crisp
