// PodStreams: what the streaming server serves, over the pods of this daemon. Any thread; borrows
// the PodState, which outlives every command that was started here.
#pragma once

#include <memory>
#include <string>

#include "pod/pod_state.h"
#include "stream/backend.h"

namespace crisp {

class PodStreams : public StreamBackend {
 public:
  explicit PodStreams(PodState& state) : state_(state) {}

  absl::StatusOr<std::unique_ptr<RemoteCommand>> StartExec(const CommandRequest& request,
                                                           const Call& call) override;
  absl::StatusOr<std::unique_ptr<RemoteCommand>> StartAttach(const CommandRequest& request,
                                                             const Call& call) override;
  absl::StatusOr<UniqueFd> DialPort(const std::string& pod_id, uint16_t port,
                                    const Call& call) override;

 private:
  PodState& state_;
};

}  // namespace crisp
