// Following a container: its log as it grows, until the container has exited or the user has had
// enough (SIGINT, SIGTERM). Main thread.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "cli/client.h"
#include "cli/log_view.h"

namespace crisp {

// The container's last status; nothing if the user interrupted.
absl::StatusOr<std::optional<cri::ContainerStatus>> FollowUntilExit(Client& client,
                                                                    const std::string& id,
                                                                    LogView& view);

// To stdout or stderr, as the entry's stream says.
void WriteEntry(LogEntry::Stream stream, std::string_view text);

// Lets SIGINT and SIGTERM end FollowUntilExit rather than the program, from now on.
void CatchInterrupts();

}  // namespace crisp
