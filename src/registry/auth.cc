#include "registry/auth.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/escaping.h"
#include "base/json.h"
#include "base/status.h"
#include "registry/sha256.h"

namespace crisp {
namespace {

constexpr size_t kMaxEntries = 1000;
constexpr size_t kMaxToken = 256 << 10;
constexpr int64_t kDefaultSeconds = 60;  // by the specification
constexpr int64_t kMaxSeconds = 24 * 3600;

bool IsTokenChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

// Reads one header: scheme [key=value {, key=value}] {, scheme ...}.
class ChallengeReader {
 public:
  explicit ChallengeReader(std::string_view text) : text_(text) {}

  void Read(std::vector<Challenge>* challenges) {
    while (Skip(), !text_.empty()) {
      const std::string word = Word();
      if (word.empty()) return;
      const bool space = !text_.empty() && text_[0] == ' ';
      SkipSpaces();
      if (!space || text_.empty() || challenges->size() > 16) {
        if (!Parameter(word, challenges)) challenges->push_back({LowerCase(word), {}});
        continue;
      }
      if (text_[0] == '=') {
        if (!Parameter(word, challenges)) return;
      } else {
        challenges->push_back({LowerCase(word), {}});
      }
    }
  }

 private:
  void SkipSpaces() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\t')) text_.remove_prefix(1);
  }
  void Skip() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\t' || text_[0] == ','))
      text_.remove_prefix(1);
  }
  std::string Word() {
    size_t end = 0;
    while (end < text_.size() && IsTokenChar(text_[end])) ++end;
    std::string word(text_.substr(0, end));
    text_.remove_prefix(end);
    return word;
  }
  // "=value" after the name; false if there is none.
  bool Parameter(const std::string& name, std::vector<Challenge>* challenges) {
    if (text_.empty() || text_[0] != '=') return false;
    text_.remove_prefix(1);
    SkipSpaces();
    std::string value;
    if (!text_.empty() && text_[0] == '"') {
      text_.remove_prefix(1);
      while (!text_.empty() && text_[0] != '"') {
        if (text_[0] == '\\' && text_.size() > 1) text_.remove_prefix(1);
        value += text_[0];
        text_.remove_prefix(1);
      }
      if (!text_.empty()) text_.remove_prefix(1);
    } else {
      value = Word();
    }
    if (!challenges->empty()) challenges->back().parameters[LowerCase(name)] = value;
    return true;
  }

  std::string_view text_;
};

std::string Escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' ||
        c == '~') {
      escaped += c;
    } else {
      constexpr char kHex[] = "0123456789ABCDEF";
      const unsigned char byte = static_cast<unsigned char>(c);
      escaped += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return escaped;
}

std::string BasicHeader(const RegistryCredentials& credentials) {
  std::string encoded;
  absl::Base64Escape(Cat(credentials.username, ":", credentials.password), &encoded);
  return Cat("Basic ", encoded);
}

bool IsHeaderValue(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 32 && c < 127; });
}

std::string KeyOf(const AuthScope& scope, const RegistryCredentials& c) {
  std::string secret;
  for (const std::string* part :
       {&c.username, &c.password, &c.auth, &c.identity_token, &c.registry_token}) {
    secret += Cat(part->size(), ":", *part);
  }
  return Cat(scope.base_url, "\n", scope.repository, "\n", Sha256::Of(secret));
}

std::string Parameter(const Challenge& challenge, const std::string& name) {
  const auto found = challenge.parameters.find(name);
  return found == challenge.parameters.end() ? std::string() : found->second;
}

// The POST form of the OAuth2 flow.
std::string Form(const RegistryCredentials& credentials, const std::string& service,
                 const std::string& scope) {
  std::string form = Cat("client_id=crisp&service=", Escape(service), "&scope=", Escape(scope));
  if (!credentials.identity_token.empty()) {
    return Cat(form,
               "&grant_type=refresh_token&refresh_token=", Escape(credentials.identity_token));
  }
  return Cat(form, "&grant_type=password&username=", Escape(credentials.username),
             "&password=", Escape(credentials.password));
}

}  // namespace

std::vector<Challenge> ParseChallenges(const std::vector<std::string>& headers) {
  std::vector<Challenge> challenges;
  for (const std::string& header : headers) ChallengeReader(header).Read(&challenges);
  return challenges;
}

RegistryCredentials CredentialsFor(const RegistryCredentials& given, const std::string& host) {
  RegistryCredentials credentials = given;
  if (!given.server_address.empty()) {
    std::string_view server = given.server_address;
    if (const size_t scheme = server.find("://"); scheme != std::string_view::npos)
      server.remove_prefix(scheme + 3);
    server = server.substr(0, server.find('/'));
    const bool docker =
        host == "docker.io" && (server == "index.docker.io" || server == "registry-1.docker.io");
    if (server != host && !docker) return {};
  }
  credentials.server_address.clear();
  if (credentials.username.empty() && !credentials.auth.empty()) {
    std::string text;
    if (absl::Base64Unescape(credentials.auth, &text) && text.find(':') != std::string::npos) {
      const size_t colon = text.find(':');
      credentials.username = text.substr(0, colon);
      credentials.password = text.substr(colon + 1);
      credentials.password.erase(credentials.password.find_last_not_of('\0') + 1);
    }
  }
  credentials.auth.clear();
  return credentials;
}

std::string Authorizer::Known(const AuthScope& scope, const RegistryCredentials& credentials) {
  if (!credentials.registry_token.empty() && IsHeaderValue(credentials.registry_token)) {
    return Cat("Bearer ", credentials.registry_token);
  }
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(KeyOf(scope, credentials));
  if (found == entries_.end()) return "";
  if (found->second.expires > absl::Now()) return found->second.header;
  entries_.erase(found);
  return "";
}

void Authorizer::Forget(const AuthScope& scope, const RegistryCredentials& credentials) {
  absl::MutexLock lock(&mutex_);
  entries_.erase(KeyOf(scope, credentials));
}

absl::StatusOr<std::string> Authorizer::Answer(const HttpResponse& refusal, const AuthScope& scope,
                                               const RegistryCredentials& credentials,
                                               const Call& call) {
  if (!credentials.registry_token.empty()) {
    return absl::UnauthenticatedError(Cat(scope.base_url, " refuses the registry token"));
  }
  const std::vector<Challenge> challenges = ParseChallenges(refusal.challenges);
  const auto with_scheme = [&](std::string_view scheme) {
    return std::find_if(challenges.begin(), challenges.end(),
                        [&](const Challenge& c) { return c.scheme == scheme; });
  };
  Entry entry;
  if (const auto bearer = with_scheme("bearer"); bearer != challenges.end()) {
    ASSIGN_OR_RETURN(entry, FetchToken(*bearer, scope, credentials, call));
  } else if (with_scheme("basic") != challenges.end()) {
    if (credentials.username.empty()) {
      return absl::UnauthenticatedError(
          Cat(scope.base_url, " wants a user name and password for ", scope.repository));
    }
    entry = {BasicHeader(credentials), absl::InfiniteFuture()};
  } else {
    return absl::UnauthenticatedError(Cat(scope.base_url, " refuses access to ", scope.repository,
                                          " and offers neither Basic nor Bearer authentication"));
  }
  absl::MutexLock lock(&mutex_);
  if (entries_.size() >= kMaxEntries) entries_.clear();
  entries_[KeyOf(scope, credentials)] = entry;
  return entry.header;
}

absl::StatusOr<Authorizer::Entry> Authorizer::FetchToken(const Challenge& challenge,
                                                         const AuthScope& scope,
                                                         const RegistryCredentials& credentials,
                                                         const Call& call) {
  const std::string realm = Parameter(challenge, "realm");
  const std::string service = Parameter(challenge, "service");
  std::string wanted = Parameter(challenge, "scope");
  if (wanted.empty()) wanted = Cat("repository:", scope.repository, ":pull");
  ASSIGN_OR_RETURN(const UrlOrigin realm_origin, OriginOf(realm));
  ASSIGN_OR_RETURN(const UrlOrigin registry_origin, OriginOf(scope.base_url));
  if (registry_origin.scheme == "https" && realm_origin.scheme != "https") {
    return absl::UnauthenticatedError(Cat(scope.base_url, " wants a token from ", realm,
                                          ", which is not https; credentials are not sent there"));
  }
  HttpRequest request;
  request.max_body = 1 << 20;
  request.tls = scope.tls;
  if (realm_origin != registry_origin) request.tls.client_cert.clear();
  HttpResponse response;
  HttpFailure failure;
  const bool has_secret = !credentials.identity_token.empty() || !credentials.username.empty();
  if (has_secret) {
    request.method = "POST";
    request.url = realm;
    request.body = Form(credentials, service, wanted);
    RETURN_IF_ERROR(Annotate(http_.Perform(request, call, &response, &failure), "token request"));
  }
  const int status = response.status;
  const bool fall_back = (status == 400 || status == 401 || status == 404 || status == 405) &&
                         credentials.identity_token.empty();
  if (!has_secret || fall_back) {
    request.method = "GET";
    request.body.clear();
    request.url = Cat(realm, realm.find('?') == std::string::npos ? "?" : "&",
                      "service=", Escape(service), "&scope=", Escape(wanted));
    if (has_secret) {
      request.authorization = BasicHeader(credentials);
      request.url += Cat("&account=", Escape(credentials.username));
    }
    RETURN_IF_ERROR(Annotate(http_.Perform(request, call, &response, &failure), "token request"));
  }
  if (response.status != 200) {
    const std::string text =
        Cat("token service ", realm, " answers ", response.status, " for ", wanted);
    return response.status >= 500 || response.status == 429 ? absl::UnavailableError(text)
                                                            : absl::UnauthenticatedError(text);
  }
  ASSIGN_OR_RETURN(const Json json, ParseJson(response.body, Cat("token of ", realm)));
  std::string token = JsonString(json, "token");
  if (token.empty()) token = JsonString(json, "access_token");
  if (token.empty() || token.size() > kMaxToken || !IsHeaderValue(token)) {
    return absl::UnauthenticatedError(Cat("token service ", realm, " gives no usable token"));
  }
  const int64_t seconds = std::clamp<int64_t>(JsonInt(json, "expires_in", kDefaultSeconds),
                                              kDefaultSeconds, kMaxSeconds);
  return Entry{Cat("Bearer ", token), absl::Now() + absl::Seconds(seconds * 9 / 10)};
}

}  // namespace crisp
