// ForwardedPort: one connection of a client to a port of a pod. Dials on a worker, copies both
// ways, half-closes as the ends do. Loop's thread; held by whoever made it until on_end.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "stream/fd_pump.h"
#include "stream/server_context.h"
#include "stream/session.h"

namespace crisp::stream {

class ForwardedPort : public std::enable_shared_from_this<ForwardedPort> {
 public:
  // data carries the bytes, error a sentence if the port cannot be reached.
  ForwardedPort(ServerContext& context, std::shared_ptr<Session> session, std::string pod_id,
                uint16_t port, std::shared_ptr<ClientStream> data,
                std::shared_ptr<ClientStream> error);

  // Once, when both streams are done with; not after Close. To be set before Start.
  void OnEnd(std::function<void()> on_end) { on_end_ = std::move(on_end); }
  void Start();
  // The session has ended.
  void Close();

 private:
  void OnDialled(absl::StatusOr<UniqueFd> socket);
  void OnClientEnd();
  void OnPodEnd();
  void Fail(const absl::Status& why);
  void End();

  ServerContext& context_;
  std::shared_ptr<Session> session_;  // null after the end
  const std::string pod_id_;
  const uint16_t port_;
  const std::shared_ptr<ClientStream> data_, error_;
  std::function<void()> on_end_;
  const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<FdWatch> socket_;
  std::shared_ptr<FdPump> from_pod_;
  std::shared_ptr<FdWriter> to_pod_;
  bool client_ended_ = false, pod_ended_ = false;
  Alarm alarm_;
};

}  // namespace crisp::stream
