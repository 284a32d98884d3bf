// Report(): the monitor's own log, one line to stderr, which is the daemon's or /dev/null. Never
// waits: a line that a full pipe has no room for is dropped. One thread.
#pragma once

#include <string>
#include <string_view>

namespace crisp {

// The name that stands before every line: "crisp-monitor <first 13 of the pod's id>".
void SetReportName(std::string_view pod_id);
void Report(std::string_view text);

}  // namespace crisp
