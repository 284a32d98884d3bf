// The exit record: how a container ended, in the file "exit" of its bundle. It is there, whole and
// synced, before anyone is told of the exit, and outlives the monitor. Any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "api/monitor.pb.h"

namespace crisp {

// The file's content is a serialized monitor::ExitRecord: docs/monitor-protocol.md.
std::string ExitRecordPath(const std::string& bundle);
absl::Status WriteExitRecord(const std::string& bundle, const monitor::ExitRecord& record);
// NotFound if the container has not ended; DataLoss if the file is damaged.
absl::StatusOr<monitor::ExitRecord> ReadExitRecord(const std::string& bundle);

}  // namespace crisp
