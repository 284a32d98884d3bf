// What went wrong in a transfer, told from libcurl's code and words: which kind of failure it is,
// and what the operator can do about one of TLS. Internal to registry/http.cc. Any thread.
#pragma once

#include <curl/curl.h>

#include <string>
#include <string_view>

#include "registry/http.h"

namespace crisp {

// `words` is what libcurl wrote into its error buffer.
HttpFailure FailureOf(CURLcode code, std::string_view words);

// For a kTls failure: " (the remedy)", which names keys of [[registry]]. Empty if there is none to
// tell.
std::string TlsAdvice(CURLcode code, std::string_view words);

}  // namespace crisp
