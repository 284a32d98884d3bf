// Attachment: a client's part in what a running container reads and writes, kept by the monitor
// (docs/monitor-protocol.md); here are the other ends of its pipes. Destroying it and closing them
// ends it; the container goes on. One thread at a time.
#pragma once

#include <memory>
#include <string>

#include "pod/monitor_client.h"
#include "pod/table.h"
#include "stream/backend.h"

namespace crisp {

class Attachment : public RemoteCommand {
 public:
  Attachment(ContainerPointer container, std::shared_ptr<MonitorClient> monitor);
  ~Attachment() override;

  // Once.
  absl::Status Start(const CommandRequest& request, const Call& call);

  CommandStreams TakeStreams() override { return std::move(streams_); }
  int ended() const override { return watch_->signal(); }
  // 0, ResourceExhausted if the client was too slow, or Unavailable without a monitor.
  absl::StatusOr<int> ExitCode() override;
  // FailedPrecondition if the container has no terminal.
  absl::Status Resize(uint16_t width, uint16_t height) override;

 private:
  const ContainerPointer container_;
  const std::shared_ptr<MonitorClient> monitor_;
  const std::string id_;
  std::shared_ptr<AttachWatch> watch_;
  CommandStreams streams_;
};

}  // namespace crisp
