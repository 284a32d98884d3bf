// RegistryClient: manifests and blobs from registries, by the distribution protocol, through
// mirrors, authentication, retries and resumption. Any thread; every call blocks no longer than its
// Call. What it returns is verified against its digest, but a blob only by its reader's end.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/call.h"
#include "registry/auth.h"
#include "registry/http.h"
#include "registry/manifest.h"
#include "registry/reference.h"
#include "registry/registry_options.h"

namespace crisp {

struct ResolvedImage {
  std::string digest;  // of what the reference names: an index's or a manifest's
  ImageManifest manifest;
};

class RegistryClient {
 public:
  explicit RegistryClient(RegistryOptions options);

  // The digest behind the reference by a HEAD request; "" if the registry does not tell.
  absl::StatusOr<std::string> ResolveDigest(const Reference& reference,
                                            const RegistryCredentials& credentials,
                                            const Call& call);
  // The manifest for this machine, through an index if there is one. Errors as ImageStore::Pull.
  absl::StatusOr<ResolvedImage> FetchImage(const Reference& reference,
                                           const RegistryCredentials& credentials,
                                           const Call& call);
  // A small blob, verified.
  absl::StatusOr<std::string> FetchSmallBlob(const Reference& reference,
                                             const Descriptor& descriptor,
                                             const RegistryCredentials& credentials,
                                             const Call& call);
  // Hands every byte of the blob to `sink` once and in order, resuming where a connection broke.
  // DataLoss if size or digest differ from the descriptor; what the sink got is then worthless.
  absl::Status FetchBlob(const Reference& reference, const Descriptor& descriptor,
                         const RegistryCredentials& credentials, const Call& call,
                         const std::function<absl::Status(std::string_view)>& sink);

 private:
  struct Endpoint;
  struct Target;
  struct Answer;
  struct BlobTransfer;

  std::vector<Endpoint> EndpointsOf(const std::string& host) const;
  absl::StatusOr<Answer> Ask(const Target& target, const Endpoint& endpoint, HttpRequest request,
                             bool last, const Call& call);
  absl::StatusOr<HttpResponse> AskAll(const Target& target, const std::string& path,
                                      const HttpRequest& request, const Call& call);
  absl::StatusOr<HttpResponse> FetchManifest(const Target& target, const std::string& asked,
                                             const Call& call);
  absl::Status TransferFrom(const Endpoint& endpoint, bool last, BlobTransfer& transfer,
                            const Call& call);

  const RegistryOptions options_;
  HttpClient http_;
  Authorizer authorizer_;
};

}  // namespace crisp
