// The client that an Attach request brings along, its descriptors checked: InvalidArgument unless
// they are ends of pipes, as many as the request names, in the right direction. One thread.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "api/monitor.pb.h"
#include "base/unique_fd.h"
#include "monitor/attach_fanout.h"

namespace crisp {

absl::StatusOr<AttachFanout::Client> AttachClient(const monitor::Attach& request,
                                                  std::vector<UniqueFd> descriptors);

}  // namespace crisp
