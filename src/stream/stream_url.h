// StreamUrls: hands out the URLs of Exec, Attach and PortForward. Implemented by stream/server.h,
// used by pod/. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "stream/backend.h"

namespace crisp {

class StreamUrls {
 public:
  virtual ~StreamUrls() = default;
  // An absolute URL with a token that serves one request within a minute. ResourceExhausted when
  // too many wait to be used.
  virtual absl::StatusOr<std::string> ForExec(CommandRequest request) = 0;
  virtual absl::StatusOr<std::string> ForAttach(CommandRequest request) = 0;
  // ports may be empty: then any is allowed.
  virtual absl::StatusOr<std::string> ForPortForward(std::string pod_id,
                                                     std::vector<uint16_t> ports) = 0;
  // SHA-256 of the certificate that the server behind the URLs shows, in hex; empty without TLS.
  virtual std::string certificate_sha256() const { return ""; }
};

}  // namespace crisp
