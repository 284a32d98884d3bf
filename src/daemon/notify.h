// Tells the service manager (systemd) how the daemon fares, over the socket that NOTIFY_SOCKET
// names: sd_notify(3) without its library. Any thread.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace crisp {

// Sends "READY=1", "STOPPING=1", "STATUS=..." and the like; ok without a service manager.
absl::Status NotifyServiceManager(std::string_view state);

}  // namespace crisp
