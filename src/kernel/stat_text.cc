#include "kernel/stat_text.h"

#include <algorithm>
#include <charconv>

namespace crisp {
namespace {

constexpr size_t kMostDevices = 256;
constexpr size_t kMostLinks = 1024;
// Version 1's "no limit" is the largest multiple of the page size below 2^63.
constexpr uint64_t kNoLimit = uint64_t{1} << 62;

// Cuts the part before the separator off the front of text; all of it if there is none.
std::string_view Next(std::string_view& text, char separator) {
  const size_t end = text.find(separator);
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return part;
}

std::string_view NextWord(std::string_view& text) {
  while (!text.empty() && (text[0] == ' ' || text[0] == '\t')) text.remove_prefix(1);
  size_t end = 0;
  while (end < text.size() && text[end] != ' ' && text[end] != '\t') ++end;
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

template <typename Number>
bool Read(std::string_view word, Number* number) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), *number);
  return error == std::errc() && end == word.data() + word.size() && !word.empty();
}

uint64_t OrZero(std::string_view word) {
  uint64_t number = 0;
  return Read(word, &number) ? number : 0;
}

// "avg10=0.12". Two decimals, as the kernel writes; read by hand, for a locale has no say here.
double Percent(std::string_view text) {
  uint64_t whole = 0;
  uint64_t hundredths = 0;
  const std::string_view before = Next(text, '.');
  if (!Read(before, &whole) || whole > 1000) return 0;
  if (text.size() == 2 && !Read(text, &hundredths)) return 0;
  return static_cast<double>(whole) + static_cast<double>(hundredths) / 100;
}

PressureLine ReadPressureLine(std::string_view rest) {
  PressureLine line;
  while (!rest.empty()) {
    std::string_view value = NextWord(rest);
    const std::string_view key = Next(value, '=');
    if (key == "avg10") line.avg10 = Percent(value);
    if (key == "avg60") line.avg60 = Percent(value);
    if (key == "avg300") line.avg300 = Percent(value);
    if (key == "total") line.total_us = OrZero(value);
  }
  return line;
}

// The entry of the device "8:0", made if it is new; null if the word names none.
DeviceFigures* DeviceNamed(std::string_view word, std::vector<DeviceFigures>& devices) {
  uint32_t major = 0;
  uint32_t minor = 0;
  const std::string_view before = Next(word, ':');
  if (!Read(before, &major) || !Read(word, &minor)) return nullptr;
  const auto found = std::find_if(devices.begin(), devices.end(), [&](const DeviceFigures& one) {
    return one.major == major && one.minor == minor;
  });
  if (found != devices.end()) return &*found;
  if (devices.size() >= kMostDevices) return nullptr;
  devices.push_back({.major = major, .minor = minor});
  return &devices.back();
}

}  // namespace

Figure ParseFigure(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  uint64_t number = 0;
  if (!Read(text, &number)) return std::nullopt;
  return number;
}

Figure ParseLimit(std::string_view text) {
  const Figure limit = ParseFigure(text);
  return limit.has_value() && *limit < kNoLimit ? limit : std::nullopt;
}

void ParseKeyed(std::string_view text, std::span<const KeyedFigure> wanted) {
  while (!text.empty()) {
    std::string_view line = Next(text, '\n');
    const std::string_view key = Next(line, ' ');
    for (const KeyedFigure& one : wanted) {
      if (one.key != key) continue;
      *one.into = ParseFigure(line);
      break;
    }
  }
}

std::optional<Pressure> ParsePressure(std::string_view text) {
  Pressure pressure;
  bool some = false;
  while (!text.empty()) {
    std::string_view line = Next(text, '\n');
    const std::string_view kind = NextWord(line);
    if (kind == "some") {
      pressure.some = ReadPressureLine(line);
      some = true;
    } else if (kind == "full") {
      pressure.full = ReadPressureLine(line);
    }
  }
  return some ? std::optional(pressure) : std::nullopt;
}

void ParseIoStat(std::string_view text, std::vector<DeviceFigures>& devices) {
  while (!text.empty()) {
    std::string_view line = Next(text, '\n');
    DeviceFigures* device = DeviceNamed(NextWord(line), devices);
    if (device == nullptr) continue;
    while (!line.empty()) {
      std::string_view value = NextWord(line);
      const std::string_view key = Next(value, '=');
      if (key == "rbytes") device->read_bytes = OrZero(value);
      if (key == "wbytes") device->write_bytes = OrZero(value);
      if (key == "rios") device->reads = OrZero(value);
      if (key == "wios") device->writes = OrZero(value);
    }
  }
}

void ParseBlkio(std::string_view text, bool bytes, std::vector<DeviceFigures>& devices) {
  while (!text.empty()) {
    std::string_view line = Next(text, '\n');
    const std::string_view name = NextWord(line);
    const std::string_view operation = NextWord(line);
    const bool read = operation == "Read";
    if (!read && operation != "Write") continue;  // "Sync", "Total" and so on count the same again
    DeviceFigures* device = DeviceNamed(name, devices);
    if (device == nullptr) continue;
    const uint64_t value = OrZero(NextWord(line));
    if (bytes) {
      (read ? device->read_bytes : device->write_bytes) = value;
    } else {
      (read ? device->reads : device->writes) = value;
    }
  }
}

std::vector<LinkFigures> ParseNetDev(std::string_view text) {
  std::vector<LinkFigures> links;
  while (!text.empty() && links.size() < kMostLinks) {
    std::string_view line = Next(text, '\n');
    // An interface's name may hold a colon itself, but no white space follows that one.
    size_t colon = line.find(": ");
    if (colon == std::string_view::npos) colon = line.rfind(':');
    if (colon == std::string_view::npos) continue;
    LinkFigures link;
    std::string_view before = line.substr(0, colon);
    link.name = NextWord(before);
    if (link.name.empty() || link.name == "lo" || link.name.find('|') != std::string_view::npos) {
      continue;
    }
    line.remove_prefix(colon + 1);
    uint64_t columns[16] = {};
    for (uint64_t& column : columns) column = OrZero(NextWord(line));
    link.rx_bytes = columns[0];
    link.rx_packets = columns[1];
    link.rx_errors = columns[2];
    link.rx_dropped = columns[3];
    link.tx_bytes = columns[8];
    link.tx_packets = columns[9];
    link.tx_errors = columns[10];
    link.tx_dropped = columns[11];
    links.push_back(link);
  }
  return links;
}

}  // namespace crisp
