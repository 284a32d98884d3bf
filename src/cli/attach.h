// What `crisp attach` does, for `crisp run -it` as well. Main thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/client.h"
#include "cli/stream_flags.h"

namespace crisp {

// Joins this program's streams with those of a running container until that ends; its exit code, or
// 128 + n when this program was told to end by signal n.
absl::StatusOr<int> AttachTo(Client& client, const std::string& container_id,
                             const StreamFlags& flags);

}  // namespace crisp
