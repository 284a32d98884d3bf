// StreamServer: the HTTP server behind the URLs of Exec, Attach and PortForward. It speaks SPDY/3.1
// and WebSocket on one thread of its own, asks the backend on a few workers that come and go with
// demand, and copies between client and command. docs/streaming.md is its page.
// Start() and Stop() by one thread; the rest from any. The backend is borrowed and outlives it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "stream/backend.h"
#include "stream/stream_url.h"

namespace crisp {

struct StreamServerOptions {
  std::string address = "127.0.0.1";  // an IPv4 or IPv6 address
  uint16_t port = 0;                  // 0: any free one
  std::string tls_cert;               // PEM files, both or none; with them URLs begin https://
  std::string tls_key;
  absl::Duration idle_timeout = absl::Hours(4);
  // How long a client may take for its request, and for the streams that it must open.
  absl::Duration creation_timeout = absl::Seconds(30);
  int max_connections = 1024;
};

class StreamServer final : public StreamUrls {
 public:
  // Serves when it returns. An error names the address, or the file that is wrong.
  static absl::StatusOr<std::unique_ptr<StreamServer>> Start(const StreamServerOptions& options,
                                                             StreamBackend& backend);
  ~StreamServer() override;  // stops

  // Cuts every session, waits for calls of the backend in flight (which are told that their caller
  // has gone), and frees all that came from the backend. Idempotent.
  void Stop();

  absl::StatusOr<std::string> ForExec(CommandRequest request) override;
  absl::StatusOr<std::string> ForAttach(CommandRequest request) override;
  absl::StatusOr<std::string> ForPortForward(std::string pod_id,
                                             std::vector<uint16_t> ports) override;
  std::string certificate_sha256() const override;

  // What the URLs begin with: "http://127.0.0.1:41234". A server on a wildcard address names
  // loopback, for whoever holds a URL is on this node.
  const std::string& base_url() const;

 private:
  struct Parts;
  explicit StreamServer(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace crisp
