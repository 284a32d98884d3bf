// UnitProperties: OCI's linux.resources as the properties of a systemd unit, so that systemd, which
// writes a unit's limits again when it reloads, writes the same ones. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp {

struct UnitProperty {
  std::string name;                                    // "MemoryMax"
  std::variant<uint64_t, std::vector<uint8_t>> value;  // D-Bus types t and ay
  bool operator==(const UnitProperty&) const = default;
};

// Only what the resources name and systemd knows; limits that it does not know (huge pages, I/O,
// devices) are left to the files below the delegation. UINT64_MAX is "no limit". InvalidArgument
// for a list of processors or memory nodes that is none.
absl::StatusOr<std::vector<UnitProperty>> UnitProperties(const Json& resources);

// "0-2,7" as systemd takes it: bit n of byte n / 8.
absl::StatusOr<std::vector<uint8_t>> CpuListBits(std::string_view list);

}  // namespace crisp
