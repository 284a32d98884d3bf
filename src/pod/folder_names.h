// What stands in a folder, for the sweeps after a start.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace crisp {

// In no order; none if there is no such folder. Any other failure is logged and ends the list.
std::vector<std::string> NamesIn(const std::string& folder);

// Of all that /proc shows. Each may be gone, or be another's, by the time it is used.
std::vector<pid_t> ProcessIds();

}  // namespace crisp
