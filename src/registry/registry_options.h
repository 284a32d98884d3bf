// How registries are reached: per host its mirrors, certificates and bounds, as the configuration
// says, and the credentials that one pull brings along. Plain data, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace crisp {

struct RegistryHost {
  std::string host;  // as in references: "docker.io", "registry.k8s.io", "10.0.0.1:5000"
  // Base URLs that are asked in this order before the host itself: "http://127.0.0.1:5000",
  // "https://mirror.example/prefix". A mirror replaces the host; the repository path stays. Plain
  // http is allowed because it is written out.
  std::vector<std::string> mirrors;
  bool plain_http = false;            // speak http:// to the host itself
  bool insecure_skip_verify = false;  // accept any certificate, of the host and of its mirrors
  std::string ca_file;                // PEM; besides the system's authorities
  std::string client_cert;            // PEM; with client_key
  std::string client_key;
};

struct RegistryOptions {
  std::vector<RegistryHost> hosts;
  std::string user_agent = "crisp/" CRISP_VERSION;
  absl::Duration connect_timeout = absl::Seconds(30);
  absl::Duration silence_timeout = absl::Minutes(5);  // without a byte: the transfer is given up
  absl::Duration retry_delay = absl::Milliseconds(50);
  int attempts = 5;  // of each request, where the failure may pass
  // Bounds for what a registry sends.
  size_t max_manifest_bytes = 4 << 20;
  size_t max_config_bytes = 8 << 20;
};

// What the CRI's AuthConfig holds.
struct RegistryCredentials {
  std::string username;
  std::string password;
  std::string auth;            // base64 of "username:password"
  std::string server_address;  // if set, the credentials are for this host alone
  std::string identity_token;  // an OAuth refresh token
  std::string registry_token;  // a bearer token, sent as it is

  bool operator==(const RegistryCredentials&) const = default;
  bool empty() const { return *this == RegistryCredentials{}; }
};

}  // namespace crisp
