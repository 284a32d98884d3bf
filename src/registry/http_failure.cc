#include "registry/http_failure.h"

namespace crisp {
namespace {

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// From TLS 1.3 on a server refuses a client only after the handshake: an alert comes where the
// answer should. "tlsv13 alert certificate required", "tlsv1 alert unknown ca", ...
bool IsCertificateAlert(std::string_view words) {
  return Contains(words, "alert") &&
         (Contains(words, "certificate") || Contains(words, "unknown ca"));
}

}  // namespace

HttpFailure FailureOf(CURLcode code, std::string_view words) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
      return HttpFailure::kConnect;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return HttpFailure::kTls;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
      return IsCertificateAlert(words) ? HttpFailure::kTls : HttpFailure::kBroken;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
      return HttpFailure::kBroken;
    default:
      return HttpFailure::kProtocol;
  }
}

std::string TlsAdvice(CURLcode code, std::string_view words) {
  if (IsCertificateAlert(words)) {
    return " (the registry wants a certificate that it trusts: client_cert and client_key of this "
           "registry)";
  }
  switch (code) {
    case CURLE_SSL_CACERT_BADFILE:
      return " (ca_file of this registry holds no certificate in PEM)";
    case CURLE_SSL_CERTPROBLEM:
      return " (client_cert and client_key of this registry must be PEM and belong together)";
    case CURLE_SSL_CONNECT_ERROR:
      if (!Contains(words, "wrong version number")) return "";
      return " (it seems to speak plain http: plain_http of this registry, or http:// in mirrors)";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
      if (Contains(words, "subject name") || Contains(words, "expired")) return "";
      return " (a private authority goes into ca_file of this registry)";
    default:
      return "";
  }
}

}  // namespace crisp
