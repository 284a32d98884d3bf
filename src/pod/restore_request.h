// RestoreMessage: what the monitor must know to bring a checkpointed container back. Any thread.
#pragma once

#include "absl/status/statusor.h"
#include "api/monitor.pb.h"
#include "pod/pod_state.h"

namespace crisp {

// All but `start`. FailedPrecondition without CRIU.
absl::StatusOr<monitor::RestoreContainer> RestoreMessage(PodState& state,
                                                         const record::Container& container,
                                                         const Call& call);

}  // namespace crisp
