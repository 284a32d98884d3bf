// Server: gRPC on a Unix socket. Listen() makes the socket (replacing a stale one), Start() serves,
// Stop() ends calls in flight. The services are borrowed and outlive the server. One thread starts
// and stops it; calls arrive on the server's own bounded set of threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace grpc {
class Service;
}

namespace crisp {

struct ServerOptions {
  std::string socket_path;
  int max_threads = 512;
  int max_message_bytes = 16 << 20;
};

class Server {
 public:
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const std::vector<grpc::Service*>& services);
  ~Server();

  // Takes no new calls, gives those in flight until the deadline, then cancels them. Idempotent.
  void Stop(absl::Duration grace);

 private:
  class Grpc;
  Server(std::string socket_path, std::unique_ptr<Grpc> grpc);

  const std::string socket_path_;
  std::unique_ptr<Grpc> grpc_;
};

}  // namespace crisp
