#include "kernel/unit_properties.h"

#include <algorithm>
#include <charconv>

#include "base/status.h"
#include "kernel/cgroup_limits.h"

namespace crisp {
namespace {

constexpr uint64_t kNoLimit = UINT64_MAX;
constexpr uint64_t kSecond = 1000000;  // in microseconds
constexpr uint64_t kDefaultPeriod = 100000;
constexpr unsigned kMaxCpu = 8191;  // what a kernel can be built for

uint64_t Limit(int64_t value) { return value < 0 ? kNoLimit : static_cast<uint64_t>(value); }

// systemd keeps a quota in whole percent of a processor. A limit rounded down would throttle.
uint64_t QuotaPerSecond(int64_t quota, uint64_t period) {
  if (quota < 0) return kNoLimit;
  constexpr uint64_t kPercent = kSecond / 100;
  const uint64_t exact = static_cast<uint64_t>(quota) * kSecond / period;
  return std::max(kPercent, (exact + kPercent - 1) / kPercent * kPercent);
}

void AddCpu(const Json& cpu, std::vector<UnitProperty>* properties) {
  if (const int64_t shares = JsonInt(cpu, "shares"); shares > 0) {
    properties->push_back({"CPUWeight", CpuWeightOfShares(static_cast<uint64_t>(shares))});
  }
  const int64_t quota = JsonInt(cpu, "quota");
  const int64_t period = JsonInt(cpu, "period");
  const uint64_t divisor = period > 0 ? static_cast<uint64_t>(period) : kDefaultPeriod;
  if (period > 0) properties->push_back({"CPUQuotaPeriodUSec", divisor});
  if (quota != 0) properties->push_back({"CPUQuotaPerSecUSec", QuotaPerSecond(quota, divisor)});
}

void AddMemory(const Json& memory, std::vector<UnitProperty>* properties) {
  const int64_t limit = JsonInt(memory, "limit");
  if (limit != 0) properties->push_back({"MemoryMax", Limit(limit)});
  if (const int64_t low = JsonInt(memory, "reservation"); low != 0) {
    properties->push_back({"MemoryLow", Limit(low)});
  }
  const int64_t swap = JsonInt(memory, "swap");
  if (swap < 0) properties->push_back({"MemorySwapMax", kNoLimit});
  if (swap > 0 && limit > 0 && swap >= limit) {
    properties->push_back({"MemorySwapMax", static_cast<uint64_t>(swap - limit)});
  }
}

// What version 2 calls by its file's name. "max" is no limit; other words are for the file alone.
void AddUnified(const Json& unified, std::vector<UnitProperty>* properties) {
  static constexpr std::pair<const char*, const char*> kKnown[] = {
      {"memory.min", "MemoryMin"},
      {"memory.low", "MemoryLow"},
      {"memory.high", "MemoryHigh"},
      {"memory.max", "MemoryMax"},
      {"memory.swap.max", "MemorySwapMax"},
      {"cpu.weight", "CPUWeight"},
      {"io.weight", "IOWeight"},
      {"pids.max", "TasksMax"},
  };
  for (const auto& [file, name] : kKnown) {
    const std::string text(Trim(JsonString(unified, file)));
    uint64_t value = kNoLimit;
    if (text != "max") {
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (text.empty() || error != std::errc() || end != text.data() + text.size()) continue;
    }
    std::erase_if(*properties,
                  [unit = name](const UnitProperty& other) { return other.name == unit; });
    properties->push_back({name, value});
  }
}

}  // namespace

absl::StatusOr<std::vector<uint8_t>> CpuListBits(std::string_view list) {
  std::vector<uint8_t> bits;
  for (const std::string_view range : Split(list, ',')) {
    unsigned first = 0, last = 0;
    const char* const end = range.data() + range.size();
    auto [at, error] = std::from_chars(range.data(), end, first);
    last = first;
    if (error == std::errc() && at != end && *at == '-') {
      const auto second = std::from_chars(at + 1, end, last);
      at = second.ptr;
      error = second.ec;
    }
    if (error != std::errc() || at != end || first > last || last > kMaxCpu) {
      return absl::InvalidArgumentError(
          Cat("\"", list.substr(0, 64), "\" is no list of processors or nodes such as 0-2,7"));
    }
    if (bits.size() <= last / 8) bits.resize(last / 8 + 1);
    for (unsigned bit = first; bit <= last; ++bit) {
      bits[bit / 8] = static_cast<uint8_t>(bits[bit / 8] | 1U << bit % 8);
    }
  }
  return bits;
}

absl::StatusOr<std::vector<UnitProperty>> UnitProperties(const Json& resources) {
  std::vector<UnitProperty> properties;
  const Json& cpu = JsonSection(resources, "cpu");
  AddCpu(cpu, &properties);
  AddMemory(JsonSection(resources, "memory"), &properties);
  if (const int64_t pids = JsonInt(JsonSection(resources, "pids"), "limit"); pids != 0) {
    properties.push_back({"TasksMax", Limit(pids)});
  }
  static constexpr std::pair<const char*, const char*> kSets[] = {{"cpus", "AllowedCPUs"},
                                                                  {"mems", "AllowedMemoryNodes"}};
  for (const auto& [key, name] : kSets) {
    const std::string list = JsonString(cpu, key);
    if (list.empty()) continue;
    ASSIGN_OR_RETURN(std::vector<uint8_t> bits, CpuListBits(list));
    properties.push_back({name, std::move(bits)});
  }
  AddUnified(JsonSection(resources, "unified"), &properties);
  return properties;
}

}  // namespace crisp
