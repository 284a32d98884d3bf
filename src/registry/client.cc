#include "registry/client.h"

#include <algorithm>

#include "base/json.h"
#include "base/status.h"
#include "registry/sha256.h"

namespace crisp {

// One place to ask: a mirror, or the host itself.
struct RegistryClient::Endpoint {
  std::string base_url;  // without a slash at its end
  TlsOptions tls;
};

// What a request is about, for scope, credentials and words.
struct RegistryClient::Target {
  const Reference& reference;
  RegistryCredentials credentials;
};

struct RegistryClient::Answer {
  HttpResponse response;
};

struct RegistryClient::BlobTransfer {
  const Target& target;
  const Descriptor& descriptor;
  const std::function<absl::Status(std::string_view)>& sink;
  Sha256 hash;
  int64_t done = 0;      // bytes handed on
  bool refused = false;  // by the sink, or for good by us: no other endpoint helps
};

namespace {

// Registry errors are foreign text: short and printable.
std::string Printable(std::string_view text, size_t limit) {
  std::string clean;
  for (const char c : text.substr(0, limit)) clean += c >= ' ' && c < 127 ? c : ' ';
  return clean;
}

std::string WordsOf(const HttpResponse& response) {
  std::string words = Cat("HTTP ", response.status);
  const auto json = ParseJson(response.body, "error");
  const Json* errors = json.ok() ? JsonMember(*json, "errors") : nullptr;
  if (errors == nullptr || !errors->is_array() || errors->empty()) return words;
  const Json& first = errors->front();
  return Cat(words, " ", Printable(JsonString(first, "code"), 60), ": ",
             Printable(JsonString(first, "message"), 200));
}

bool MayPass(int status) { return status == 408 || status == 429 || status >= 500; }

absl::Status StatusOf(const HttpResponse& response, const Reference& reference,
                      const std::string& url) {
  const std::string text =
      Cat("image ", reference.Text(), ": ", url, " answers ", WordsOf(response));
  if (response.status == 404) return absl::NotFoundError(text);
  if (response.status == 401) {
    return absl::UnauthenticatedError(
        Cat(text, " (the repository does not exist or needs other credentials)"));
  }
  if (response.status == 403) return absl::PermissionDeniedError(text);
  if (MayPass(response.status)) return absl::UnknownError(Cat("RegistryUnavailable: ", text));
  return absl::UnknownError(text);
}

// The client's word for a request that got no answer.
absl::Status StatusOf(HttpFailure failure, const absl::Status& status, const Reference& reference) {
  switch (failure) {
    case HttpFailure::kCaller:
    case HttpFailure::kReceiver:
      return status;
    case HttpFailure::kTls:
      return absl::FailedPreconditionError(Cat("image ", reference.Text(), ": ", status.message()));
    case HttpFailure::kProtocol:
      return absl::UnknownError(Cat("image ", reference.Text(), ": ", status.message()));
    default:
      return absl::UnknownError(
          Cat("RegistryUnavailable: image ", reference.Text(), ": ", status.message()));
  }
}

absl::Status Pause(absl::Duration duration, const Call& call) {
  const absl::Time end = absl::Now() + duration;
  while (absl::Now() < end) {
    RETURN_IF_ERROR(call.Check());
    absl::SleepFor(std::min(absl::Milliseconds(20), end - absl::Now()));
  }
  return call.Check();
}

bool Ends(const absl::Status& status) {
  return status.code() == absl::StatusCode::kCancelled ||
         status.code() == absl::StatusCode::kDeadlineExceeded;
}

// Where every endpoint failed: the words of all, the code of the most telling one.
absl::Status Combine(const absl::Status& earlier, const absl::Status& later) {
  if (earlier.ok()) return later;
  const bool earlier_tells_more =
      later.code() == absl::StatusCode::kUnknown && earlier.code() != absl::StatusCode::kUnknown;
  const absl::Status& first = earlier_tells_more ? earlier : later;
  const absl::Status& second = earlier_tells_more ? later : earlier;
  std::string_view rest = FromAbsl(second.message());
  constexpr std::string_view kPrefix = "RegistryUnavailable: ";
  if (rest.substr(0, kPrefix.size()) == kPrefix) rest.remove_prefix(kPrefix.size());
  return absl::Status(first.code(), Cat(FromAbsl(first.message()), "; ", rest));
}

}  // namespace

RegistryClient::RegistryClient(RegistryOptions options)
    : options_(std::move(options)), http_(options_), authorizer_(http_) {}

std::vector<RegistryClient::Endpoint> RegistryClient::EndpointsOf(const std::string& host) const {
  std::vector<Endpoint> endpoints;
  RegistryHost settings;
  for (const RegistryHost& candidate : options_.hosts) {
    if (candidate.host == host) settings = candidate;
  }
  const TlsOptions tls{settings.ca_file, settings.client_cert, settings.client_key,
                       settings.insecure_skip_verify};
  for (std::string mirror : settings.mirrors) {
    while (!mirror.empty() && mirror.back() == '/') mirror.pop_back();
    endpoints.push_back({mirror, tls});
  }
  const std::string server = host == "docker.io" ? "registry-1.docker.io" : host;
  if (settings.plain_http) {
    endpoints.push_back({Cat("http://", server), tls});
    return endpoints;
  }
  endpoints.push_back({Cat("https://", server), tls});
  // A registry on this very machine may speak plain http without being configured, as everywhere.
  const auto origin = OriginOf(Cat("https://", server));
  if (origin.ok() && origin->IsLoopback()) endpoints.push_back({Cat("http://", server), tls});
  return endpoints;
}

// One endpoint, with authentication and retries: any answer but one that may pass is final.
absl::StatusOr<RegistryClient::Answer> RegistryClient::Ask(const Target& target,
                                                           const Endpoint& endpoint,
                                                           HttpRequest request, bool last,
                                                           const Call& call) {
  const AuthScope scope{endpoint.base_url, target.reference.repository, endpoint.tls};
  request.tls = endpoint.tls;
  bool authenticated = false;
  for (int attempt = 1;; ++attempt) {
    RETURN_IF_ERROR(call.Check());
    request.authorization = authorizer_.Known(scope, target.credentials);
    Answer answer;
    HttpFailure failure;
    const absl::Status status = http_.Perform(request, call, &answer.response, &failure);
    const bool retry = last && attempt < options_.attempts;
    if (!status.ok()) {
      // A blob that broke off is resumed by our caller, who knows where.
      const bool passes = (failure == HttpFailure::kBroken && request.on_data == nullptr) ||
                          (failure == HttpFailure::kConnect && last);
      if (!passes || attempt >= options_.attempts)
        return StatusOf(failure, status, target.reference);
    } else if (answer.response.status == 401 && !authenticated) {
      authenticated = true;  // once: a second refusal is the answer
      authorizer_.Forget(scope, target.credentials);
      const auto header = authorizer_.Answer(answer.response, scope, target.credentials, call);
      if (!header.ok()) {
        if (header.status().code() == absl::StatusCode::kUnavailable) {
          return absl::UnknownError(Cat("RegistryUnavailable: image ", target.reference.Text(),
                                        ": ", header.status().message()));
        }
        return Annotate(header.status(), Cat("image ", target.reference.Text()));
      }
      --attempt;
      continue;
    } else if (!MayPass(answer.response.status) || !retry) {
      return answer;
    }
    RETURN_IF_ERROR(Pause(options_.retry_delay * attempt, call));
  }
}

// All endpoints in order until one has it.
absl::StatusOr<HttpResponse> RegistryClient::AskAll(const Target& target, const std::string& path,
                                                    const HttpRequest& request, const Call& call) {
  const std::vector<Endpoint> endpoints = EndpointsOf(target.reference.host);
  absl::Status failed;
  for (size_t i = 0; i < endpoints.size(); ++i) {
    HttpRequest here = request;
    here.url = Cat(endpoints[i].base_url, "/v2/", target.reference.repository, path);
    auto answer = Ask(target, endpoints[i], here, i + 1 == endpoints.size(), call);
    absl::Status status = answer.status();
    if (answer.ok()) {
      const int code = answer->response.status;
      if (code == 200 || (here.method == "HEAD" && (code == 405 || code == 400)))
        return std::move(answer->response);
      status = StatusOf(answer->response, target.reference, here.url);
    }
    if (Ends(status)) return status;
    failed = Combine(failed, status);
  }
  return failed;
}

absl::StatusOr<std::string> RegistryClient::ResolveDigest(const Reference& reference,
                                                          const RegistryCredentials& credentials,
                                                          const Call& call) {
  const Target target{reference, CredentialsFor(credentials, reference.host)};
  HttpRequest request;
  request.method = "HEAD";
  request.headers = {Cat("Accept: ", kManifestMediaTypes)};
  ASSIGN_OR_RETURN(const HttpResponse response,
                   AskAll(target, Cat("/manifests/", reference.Asked()), request, call));
  if (!reference.digest.empty()) return reference.digest;
  const std::string digest = response.Header("docker-content-digest");
  return response.status == 200 && IsDigest(digest) ? digest : std::string();
}

absl::StatusOr<HttpResponse> RegistryClient::FetchManifest(const Target& target,
                                                           const std::string& asked,
                                                           const Call& call) {
  HttpRequest request;
  request.headers = {Cat("Accept: ", kManifestMediaTypes)};
  request.max_body = options_.max_manifest_bytes;
  ASSIGN_OR_RETURN(HttpResponse response, AskAll(target, Cat("/manifests/", asked), request, call));
  if (IsDigest(asked) && Sha256::Of(response.body) != asked) {
    return absl::DataLossError(Cat("image ", target.reference.Text(), ": the manifest that ",
                                   response.url, " sends does not have the digest ", asked));
  }
  return response;
}

absl::StatusOr<ResolvedImage> RegistryClient::FetchImage(const Reference& reference,
                                                         const RegistryCredentials& credentials,
                                                         const Call& call) {
  const Target target{reference, CredentialsFor(credentials, reference.host)};
  ASSIGN_OR_RETURN(HttpResponse response, FetchManifest(target, reference.Asked(), call));
  ResolvedImage image;
  image.digest = Sha256::Of(response.body);
  const std::string name = reference.Text();
  ASSIGN_OR_RETURN(ManifestDocument document,
                   ParseManifest(response.body, response.Header("content-type"), name));
  // An index in an index is allowed by OCI, but no registry's clients go deeper than this.
  for (int depth = 0; document.is_index; ++depth) {
    if (depth == 3)
      return absl::InvalidArgumentError(Cat("image ", name, ": its indexes nest too deep"));
    ASSIGN_OR_RETURN(const Descriptor chosen,
                     ChoosePlatform(document.index, Platform::OfThisMachine(), name));
    ASSIGN_OR_RETURN(response, FetchManifest(target, chosen.digest, call));
    ASSIGN_OR_RETURN(document, ParseManifest(response.body, response.Header("content-type"), name));
  }
  image.manifest = std::move(document.image);
  return image;
}

absl::StatusOr<std::string> RegistryClient::FetchSmallBlob(const Reference& reference,
                                                           const Descriptor& descriptor,
                                                           const RegistryCredentials& credentials,
                                                           const Call& call) {
  if (descriptor.size > static_cast<int64_t>(options_.max_config_bytes)) {
    return absl::ResourceExhaustedError(Cat("image ", reference.Text(),
                                            ": its config is larger than ",
                                            options_.max_config_bytes, " bytes"));
  }
  std::string blob;
  RETURN_IF_ERROR(FetchBlob(reference, descriptor, credentials, call, [&](std::string_view bytes) {
    blob.append(bytes);
    return absl::OkStatus();
  }));
  return blob;
}

absl::Status RegistryClient::FetchBlob(const Reference& reference, const Descriptor& descriptor,
                                       const RegistryCredentials& credentials, const Call& call,
                                       const std::function<absl::Status(std::string_view)>& sink) {
  const Target target{reference, CredentialsFor(credentials, reference.host)};
  BlobTransfer transfer{target, descriptor, sink};
  const std::vector<Endpoint> endpoints = EndpointsOf(reference.host);
  absl::Status failed;
  for (size_t i = 0; i < endpoints.size(); ++i) {
    const absl::Status status =
        TransferFrom(endpoints[i], i + 1 == endpoints.size(), transfer, call);
    if (status.ok()) {
      const std::string digest = transfer.hash.Digest();
      if (digest == descriptor.digest) return status;
      return absl::DataLossError(
          Cat("image ", reference.Text(), ": blob ", descriptor.digest, " arrived as ", digest));
    }
    if (transfer.refused || Ends(status)) return status;
    failed = Combine(failed, status);
  }
  return failed;
}

absl::Status RegistryClient::TransferFrom(const Endpoint& endpoint, bool last,
                                          BlobTransfer& transfer, const Call& call) {
  const Descriptor& blob = transfer.descriptor;
  const std::string name = Cat("image ", transfer.target.reference.Text(), ": blob ", blob.digest);
  for (int fruitless = 0; transfer.done < blob.size || blob.size == 0;) {
    const int64_t start = transfer.done;
    int64_t skip = 0;  // what a server that ignores Range sends again
    absl::Status refused;
    HttpRequest request;
    request.url = Cat(endpoint.base_url, "/v2/", transfer.target.reference.repository, "/blobs/",
                      blob.digest);
    if (start > 0) request.headers.push_back(Cat("Range: bytes=", start, "-", blob.size - 1));
    request.on_head = [&](const HttpResponse& head) -> absl::Status {
      if (head.status == 200) skip = start;
      if (head.status == 206 &&
          !head.Header("content-range").starts_with(Cat("bytes ", start, "-"))) {
        return refused = absl::DataLossError(
                   Cat(name, ": the registry resumes at another place than asked"));
      }
      return absl::OkStatus();
    };
    request.on_data = [&](std::string_view bytes) -> absl::Status {
      const int64_t again = std::min<int64_t>(skip, bytes.size());
      skip -= again;
      bytes.remove_prefix(again);
      if (transfer.done + static_cast<int64_t>(bytes.size()) > blob.size) {
        return refused = absl::DataLossError(
                   Cat(name, " is larger than the ", blob.size, " bytes that its manifest says"));
      }
      transfer.hash.Add(bytes);
      transfer.done += bytes.size();
      return refused = transfer.sink(bytes);
    };
    const auto answer = Ask(transfer.target, endpoint, request, last, call);
    transfer.refused = !refused.ok();
    if (transfer.refused) return refused;
    if (answer.ok() && answer->response.status != 200 && answer->response.status != 206) {
      return StatusOf(answer->response, transfer.target.reference, request.url);
    }
    if (answer.ok()) {
      if (transfer.done == blob.size) return absl::OkStatus();
      if (start == transfer.done) {
        return absl::DataLossError(
            Cat(name, " ends after ", transfer.done, " of ", blob.size, " bytes"));
      }
      continue;  // a clean end too early: maybe a proxy's, so go on from there
    }
    RETURN_IF_ERROR(call.Check());
    if (transfer.done == start && ++fruitless >= options_.attempts) return answer.status();
    if (transfer.done == start && answer.status().code() != absl::StatusCode::kUnknown)
      return answer.status();
    if (transfer.done > start) fruitless = 0;
    RETURN_IF_ERROR(Pause(options_.retry_delay, call));
  }
  return absl::OkStatus();
}

}  // namespace crisp
