// Authorizer: answers a registry's 401 with Basic or a bearer token, and remembers the answer for
// each repository until it expires. Any thread. Protocol: distribution specification, "Token
// Authentication" and "OAuth2".
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/call.h"
#include "registry/http.h"
#include "registry/registry_options.h"

namespace crisp {

struct Challenge {
  std::string scheme;                             // lower case: "basic", "bearer"
  std::map<std::string, std::string> parameters;  // lower-case names
};

// The challenges of WWW-Authenticate headers (RFC 7235, section 4.1); what is malformed is left
// out.
std::vector<Challenge> ParseChallenges(const std::vector<std::string>& headers);

// Whom one request is for.
struct AuthScope {
  std::string base_url;    // of the registry that asks
  std::string repository;  // "library/busybox"
  TlsOptions tls;
};

class Authorizer {
 public:
  explicit Authorizer(HttpClient& http) : http_(http) {}

  // The header value known from before, or "" to ask without.
  std::string Known(const AuthScope& scope, const RegistryCredentials& credentials)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The header value that answers this 401, remembered. Unauthenticated if credentials are wanted
  // that are not there, or were refused.
  absl::StatusOr<std::string> Answer(const HttpResponse& refusal, const AuthScope& scope,
                                     const RegistryCredentials& credentials, const Call& call)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Forget(const AuthScope& scope, const RegistryCredentials& credentials)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Entry {
    std::string header;
    absl::Time expires;
  };
  absl::StatusOr<Entry> FetchToken(const Challenge& challenge, const AuthScope& scope,
                                   const RegistryCredentials& credentials, const Call& call);

  HttpClient& http_;
  absl::Mutex mutex_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

// Credentials with username and password taken out of `auth`, and none at all if they are for
// another server than `host`.
RegistryCredentials CredentialsFor(const RegistryCredentials& given, const std::string& host);

}  // namespace crisp
