// Identifiers: 64 lower-case hex digits from the kernel's random source, for pods and containers.
// Any thread.
#pragma once

#include <string>
#include <string_view>

namespace crisp {

std::string RandomId();
// Lower-case hex of the bytes.
std::string Hex(std::string_view bytes);
bool IsHex(std::string_view text);

}  // namespace crisp
