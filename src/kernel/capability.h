// The capabilities that Linux knows, by number (capabilities(7)). Any thread.
#pragma once

#include <span>
#include <string_view>

namespace crisp {

// CapabilityNames()[0] is "CAP_CHOWN".
std::span<const std::string_view> CapabilityNames();

// The number of "CAP_CHOWN"; -1 if Linux has no capability of this very name.
int CapabilityNumber(std::string_view name);

}  // namespace crisp
