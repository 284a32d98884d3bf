// CriuLog: what CRIU says went wrong, out of the log that it wrote. Shared by the daemon (which
// dumps) and the monitor (which restores). Any thread. Linked into the static monitor.
#pragma once

#include <string>
#include <string_view>

namespace crisp {

// The last errors in the text, at most three, without CRIU's times and source places, parted by
// "; ". Empty if there are none.
std::string CriuErrors(std::string_view log);
// The same of a file, of which only the end is read; it may be absent.
std::string CriuErrorsOf(const std::string& path);

}  // namespace crisp
