// What the kernel writes into its statistics files, taken apart without allocation: single numbers,
// "key value" lines, pressure stall information, block device lines, /proc/PID/net/dev. A line that
// is not understood is passed over; a number that does not fit or is "max" counts as not there.
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace crisp {

using Figure = std::optional<uint64_t>;  // nullopt: the kernel does not tell, or there is no limit

// The number that the text consists of, white space at its end aside.
Figure ParseFigure(std::string_view text);
// The same for a limit in bytes: version 1 writes a number near 2^63 for "no limit".
Figure ParseLimit(std::string_view text);

struct KeyedFigure {
  std::string_view key;
  Figure* into;
};
// Fills what is named in lines "key value".
void ParseKeyed(std::string_view text, std::span<const KeyedFigure> wanted);

struct PressureLine {
  double avg10 = 0, avg60 = 0, avg300 = 0;  // percent
  uint64_t total_us = 0;
};
struct Pressure {
  PressureLine some;
  PressureLine full;
};
// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and the same with full.
std::optional<Pressure> ParsePressure(std::string_view text);

struct DeviceFigures {
  uint32_t major = 0, minor = 0;
  uint64_t reads = 0, writes = 0, read_bytes = 0, write_bytes = 0;
};
// Adds to the devices' figures: version 2's io.stat ("8:0 rbytes=1 wbytes=2 rios=3 wios=4 ..."), or
// one of version 1's files of lines "8:0 Read 1", bytes or operations. At most 256 devices.
void ParseIoStat(std::string_view text, std::vector<DeviceFigures>& devices);
void ParseBlkio(std::string_view text, bool bytes, std::vector<DeviceFigures>& devices);

struct LinkFigures {
  std::string_view name;  // into the text
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};
// Every interface of /proc/PID/net/dev but lo.
std::vector<LinkFigures> ParseNetDev(std::string_view text);

}  // namespace crisp
